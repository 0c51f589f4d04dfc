package attack

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	vegeta "github.com/tsenart/vegeta/v12/lib"
)

func TestReadTargets(t *testing.T) {
	body := filepath.Join(t.TempDir(), "order.json")
	if err := os.WriteFile(body, []byte(`{"id":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []Target{
		{Target: vegeta.Target{Method: "GET", URL: "/products", Header: http.Header{}}, Weight: 3},
		{Target: vegeta.Target{Method: "POST", URL: "/orders?draft=1", Body: []byte(`{"id":1}`),
			Header: http.Header{"Content-Type": {"application/json"}}}, Name: "order", Weight: 1},
	}
	for format, text := range map[string]string{
		"http": "# the shop\nGET /products\nx-coalmine-weight: 3\n\nPOST /orders?draft=1\nContent-Type: application/json\nX-Coalmine-Target: order\n@" + body,
		"json": `{"method":"GET","url":"/products","header":{"X-Coalmine-Weight":["3"]}}
{"method":"POST","url":"/orders?draft=1","body":"eyJpZCI6MX0=","header":{"Content-Type":["application/json"],"X-Coalmine-Target":["order"]}}`,
	} {
		got, err := ReadTargets(strings.NewReader(text), format)
		if err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
}

func TestReadTargetsRefuses(t *testing.T) {
	for _, c := range []struct{ format, text, want string }{
		{"http", "\n# nothing\n", "holds no target"},
		{"json", "", "holds no target"},
		{"yaml", "", `format "yaml": want http or json`},
		{"http", "GET /a\n\nget /b\n", "target 2: bad method: get"},
		{"http", "GET /a\nAuthorization Bearer s3cret\n", "target 1: bad header"},
		{"http", "GET a?key=s3cret\n", "target 1: bad URL"},
		{"http", "GET /a\nX-Coalmine-Weight: 0\n", `target 1: X-Coalmine-Weight: "0": want a whole number from 1`},
		{"http", "GET /a\nX: " + strings.Repeat("x", 1<<16), "line 2: longer than 64 KiB"},
		{"json", `{"method":"GET"}`, "target 1: target: required url is missing"},
		{"json", `{"method":`, "target 1: parse error: want a JSON object on a line of its own"},
	} {
		_, err := ReadTargets(strings.NewReader(c.text), c.format)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s %.30q: %v, want %q and no secret", c.format, c.text, err, c.want)
		}
	}
}

func among(targets ...Target) Plan {
	return Plan{Target: vegeta.Target{URL: "https://api.example.com/prod/products", Header: http.Header{"X-Api-Key": {"k"}}},
		Path: "/products", Targets: targets}
}

func weighing(method, url string, weight int) Target {
	return Target{Target: vegeta.Target{Method: method, URL: url}, Weight: weight}
}

func TestTargetsAreCompleted(t *testing.T) {
	own := weighing("GET", "https://api.example.com/prod/health?deep=1", 1)
	own.Header = http.Header{"x-api-key": {"mine"}}
	var got []string
	for _, t := range among(weighing("", "/orders", 0), own).targets() {
		got = append(got, fmt.Sprint(t.Method, " ", t.URL, " ", t.Name, " ", t.Weight, " ", t.Header))
	}
	if diff := cmp.Diff([]string{
		"GET https://api.example.com/prod/orders GET /orders 1 map[X-Api-Key:[k]]",
		"GET https://api.example.com/prod/health?deep=1 GET /prod/health 1 map[x-api-key:[mine]]",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTargetsThatCannotWork(t *testing.T) {
	many := make([]Target, MaxTallies+1)
	for i := range many {
		many[i] = weighing("GET", fmt.Sprintf("/%d", i), 1)
	}
	for _, c := range []struct {
		plan Plan
		want string
	}{
		{among(weighing("GET", "/a", 1), weighing("GET", "https://other.example.com/b", 1)), "target 2: on https://other.example.com:443"},
		{among(weighing("G T", "/a", 1)), `target 1: method: "G T"`},
		{among(many...), "33 different names"},
		{among(weighing("GET", "/a", 99_999), weighing("GET", "/b", 2)), "weights add up to 100001"},
	} {
		if err := c.plan.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	for i := range many {
		many[i].Name = "a number"
	}
	if err := among(many...).Validate(); err != nil {
		t.Errorf("of one name: %v", err)
	}
	if err := among(weighing("GET", "/a", 90_000), weighing("GET", "/b", 60_000)).Validate(); err != nil {
		t.Errorf("weights of 3 to 2: %v", err)
	}
}

// Over every round each target has exactly its share, and never waits for twice as long as an even spread would make it.
func TestRotationIsExactAndEven(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 1, 1}, {3, 1}, {20, 10, 70}, {1, 99}, {7, 5, 3, 2}} {
		var targets []Target
		round := 0
		for i, w := range weights {
			targets = append(targets, weighing("GET", fmt.Sprintf("/%d", i), w))
			round += w
		}
		p := among(targets...)
		order := p.rotate()
		if want := round / p.commonWeight(); len(order) != want {
			t.Errorf("%v: a round of %d, want %d", weights, len(order), want)
		}
		seen, last := make([]int, len(weights)), make([]int, len(weights))
		for hit := range 2 * round {
			i := order.of(uint64(hit))
			if gap := hit - last[i]; seen[i] > 0 && float64(gap) >= 2*float64(round)/float64(weights[i])+1 {
				t.Errorf("%v: target %d waits for %d hits", weights, i, gap)
			}
			seen[i]++
			last[i] = hit
		}
		for i, w := range weights {
			if seen[i] != 2*w {
				t.Errorf("%v: target %d has %d of %d hits, want %d", weights, i, seen[i], 2*round, 2*w)
			}
		}
	}
}

// Whatever a file holds, it is no reason to panic, and what is read of it is a plan or is refused.
func FuzzReadTargets(f *testing.F) {
	f.Add("GET /a\nX-Coalmine-Weight: 3\n\nPOST /b\nContent-Type: x\n", true)
	f.Add(`{"method":"GET","url":"/a","header":{"X-Coalmine-Target":["a"]},"body":"eA=="}`, false)
	f.Add("GET \x00\n:\n@", true)
	f.Add(`{"method":"GET","url":"/","header":{"A":[],"X-Coalmine-Weight":[]}}`, false)
	f.Fuzz(func(t *testing.T, text string, http bool) {
		format := "json"
		if http {
			format = "http"
		}
		if strings.Contains(text, "@") {
			return // would read a file
		}
		targets, err := ReadTargets(strings.NewReader(text), format)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		p := among(targets...)
		if p.Validate() != nil {
			return
		}
		s, err := newSource(t.Context(), p)
		if err != nil {
			t.Fatalf("a valid plan: %v", err)
		}
		for n := range uint64(3) {
			if r := s.connection()(n); len(r.wire) == 0 {
				t.Fatal("nothing would be sent")
			}
		}
	})
}
