package attack

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// addsUp holds the parts of a window, or of late answers, to the whole.
func addsUp(t *testing.T, due uint64, whole Answers, parts map[string]*Part) {
	t.Helper()
	var dues uint64
	var sum Answers
	for _, p := range parts {
		dues += p.Due
		sum.Merge(p.Answers)
	}
	whole.IDs, whole.BeyondIDs = nil, 0
	if dues != due || text(t, sum) != text(t, whole) {
		t.Errorf("due %d and %s, in parts %d and %s", due, text(t, whole), dues, text(t, sum))
	}
}

// Each target has its exact share of the hits, a tally of its own by name, and the parts are the whole: late answers and
// such as name nobody included, in an open loop and a closed one, as long as it goes and when it is broken off.
func TestRunOnSeveralTargets(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]uint64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		n := asked[r.URL.Path]
		mu.Unlock()
		if r.URL.Path == "/prod/slow" {
			time.Sleep(300 * time.Millisecond)
		}
		if r.URL.Path == "/prod/broken" {
			w.WriteHeader(502)
			return
		}
		w.Header().Set("X-Lambda-Version", []string{"1", "2"}[n%2])
	}))
	t.Cleanup(s.Close)
	p := Plan{Target: vegeta.Target{URL: s.URL + "/prod/products"}, Path: "/products", Classify: byHeader(t), RequestIDs: true,
		Patience: func() time.Duration { return 100 * time.Millisecond }, Connections: 100, Timeout: 5 * time.Second}
	one, two := weighing("GET", "/products?page=1", 2), weighing("GET", "/products?page=2", 1)
	p.Targets = []Target{one, two, weighing("GET", "/slow", 1), weighing("GET", "/broken", 1)}
	for _, c := range []struct {
		name   string
		change func(*Plan)
		left   bool
	}{
		{"open", func(p *Plan) { p.Rate, p.MaxHits = perSecond(200), 103 }, false},
		{"closed", func(p *Plan) { p.Connections, p.MaxHits = 3, 103 }, false},
		{"left", func(p *Plan) { p.Rate = perSecond(200) }, true},
	} {
		p := p
		c.change(&p)
		var due, late uint64
		parts := map[string]*Part{}
		for w := range Run(t.Context(), p) {
			addsUp(t, w.Due, w.Answers, w.Targets)
			for name, part := range w.Targets {
				if parts[name] == nil {
					parts[name] = &Part{}
				}
				parts[name].Merge(*part)
			}
			for _, l := range w.Late {
				addsUp(t, 0, l.Answers, l.Targets)
				for name, part := range l.Targets {
					parts[name].Merge(*part)
					late++
				}
			}
			for _, id := range w.IDs {
				if id.Target != "GET /broken" {
					t.Errorf("%s: %+v names no version", c.name, id)
				}
			}
			if due += w.Due; c.left && w.Due > 0 {
				break
			}
		}
		if c.left {
			continue
		}
		if late == 0 && c.name == "open" {
			t.Error("no answer was late")
		}
		order, names := p.rotate(), map[string]uint64{}
		for n := range uint64(103) {
			names[p.targets()[order.of(n)].Name]++
		}
		if due != 103 || len(parts) != 3 || names["GET /products"] != 62 {
			t.Errorf("%s: %d due of %d targets: %v", c.name, due, len(parts), names)
		}
		for name, part := range parts {
			answered := hitsOf(part.Answers)
			if name == "GET /slow" { // the last of them were not waited for
				answered = max(answered, names[name])
			}
			if part.Due != names[name] || answered != names[name] {
				t.Errorf("%s: %s: %d due, %d answered, want %d", c.name, name, part.Due, hitsOf(part.Answers), names[name])
			}
		}
		if b := parts["GET /broken"]; len(b.Arms) != 0 || b.Unattributed[No5xx].Errors[ServerError] != b.Due {
			t.Errorf("%s: %s", c.name, text(t, b.Answers))
		}
	}
}

func hitsOf(a Answers) (n uint64) { return total(a)[0] }

// What is due of each target in a stretch is what counting hit by hit gives.
func TestPartsDue(t *testing.T) {
	s := newParts(among(weighing("GET", "/a", 5), weighing("GET", "/b", 2), weighing("GET", "/a", 1)))
	for _, stretch := range [][2]uint64{{0, 0}, {0, 1}, {3, 5}, {7, 24}, {5, 800}, {1<<63 - 5, 1<<63 + 20}, {9, 3}} {
		want := make([]uint64, 2)
		for n := stretch[0]; n < stretch[1]; n++ {
			want[s.of[s.order.of(n)]]++
		}
		if got := s.due(stretch[0], stretch[1]); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", stretch, got, want)
		}
	}
	if one := newParts(Plan{Target: target("http://127.0.0.1/")}); one.sealed(nil, one.due(0, 10)) != nil {
		t.Error("a load on one target has parts")
	}
}
