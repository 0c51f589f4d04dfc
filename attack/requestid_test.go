package attack

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRequestIDText(t *testing.T) {
	const text = "c0a8f0e1-1234-4abc-9def-0123456789ab"
	var id RequestID
	check := func(in string, valid bool) {
		t.Helper()
		var got RequestID
		if err := got.UnmarshalText([]byte(in)); (err == nil) != valid {
			t.Errorf("%q: %v", in, err)
		}
		if valid && got.String() != text {
			t.Errorf("%q came back as %s", in, got)
		}
	}
	check(text, true)
	check(strings.ToUpper(text), true)
	for _, bad := range []string{"", text[1:], text + "0", strings.Replace(text, "-", "0", 1), strings.Replace(text, "c", "g", 1), strings.ReplaceAll(text, "-", "")} {
		check(bad, false)
	}
	id.parse([]byte(text))
	if id.parse([]byte("g"+text[1:])) || id.String() != text {
		t.Errorf("what is no UUID changed %s", id)
	}
}

func TestIDsAreRandomUUIDsOfVersion4(t *testing.T) {
	g, other := newIDs(), newIDs()
	seen := map[RequestID]bool{}
	for range 1000 {
		id, another := g.next(), other.next()
		var sent RequestID
		if !sent.parse([]byte(id.String())) || sent != id || sent[6]>>4 != 4 || sent[8]>>6 != 2 {
			t.Fatalf("%s", id)
		}
		seen[id], seen[another] = true, true
	}
	if len(seen) != 2000 {
		t.Errorf("%d different ids of 2000", len(seen))
	}
	if n := testing.AllocsPerRun(100, func() { g.next() }); n != 0 {
		t.Errorf("%v allocations an id", n)
	}
}

// Every hit has an id of its own, and those of hits that name no version are kept where these are counted.
func TestRunWithRequestIDs(t *testing.T) {
	t.Parallel()
	echo := RequestID{6: 0x40, 8: 0x80, 15: 1}
	var mu sync.Mutex
	status := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("x-amzn-RequestId")
		n := len(status)
		if status[id] != 0 {
			t.Errorf("%s came twice", id)
		}
		switch {
		case n == 7: // somebody before the API gave it another id
			status[id] = 500
			w.Header().Set("x-amzn-RequestId", echo.String())
			w.WriteHeader(500)
		case n%2 == 0:
			status[id] = 200
			w.Header().Set("X-Lambda-Version", "1")
		case n%3 == 0:
			status[id] = 200
		default:
			status[id] = 500
			w.Header().Set("x-amzn-RequestId", "not a UUID")
			w.WriteHeader(500)
		}
	}))
	t.Cleanup(s.Close)
	got := attack(t, Plan{Target: target(s.URL), Rate: perSecond(1000), Duration: 200 * time.Millisecond, Classify: byHeader(t), RequestIDs: true})
	if got.Hits != 200 || len(status) != 200 || len(got.all.IDs) != 100 {
		t.Fatalf("%d hits, %d ids at the server, %d kept: want 200, 200, 100", got.Hits, len(status), len(got.all.IDs))
	}
	for _, h := range got.all.IDs {
		want := Anonymous{ID: h.ID, Cause: No5xx, Class: ServerError, Answered: h.Answered}
		if h.Class == "" {
			want = Anonymous{ID: h.ID, Cause: Unrecognised, Answered: h.Answered, Response: h.Response, Service: h.Service}
		}
		told := map[Class]int{"": 200, ServerError: 500}[h.Class]
		if h != want || h.Answered <= 0 || h.ID != echo && status[h.ID.String()] != told {
			t.Errorf("%+v, want %+v; the server says %d", h, want, status[h.ID.String()])
		}
	}
	out, moved := got.all.Attributed(func(Anonymous) string { return "2" })
	if moved != 100 || len(out.Unattributed) != 0 || out.Arms["2"].Hits != 100 || out.Arms["2"].Response.Total() != 100-out.Arms["2"].Failed() {
		t.Errorf("%d moved, left %v, made %+v", moved, out.Unattributed, out.Arms["2"])
	}
}

func TestRequestIDsRefuseOnesOwn(t *testing.T) {
	p := Plan{Target: target("http://127.0.0.1/"), RequestIDs: true}
	p.Target.Header = http.Header{"x-amzn-requestID": {"mine"}}
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "x-amzn-RequestId") {
		t.Error(err)
	}
	p.RequestIDs = false
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}

// What is beyond the bound is counted: of a window, and of all late answers that one carries.
func TestIDsAreBounded(t *testing.T) {
	var at time.Duration
	tally := newTally(Plan{RequestIDs: true}, func() time.Duration { return at }, 0)
	tally.due = func(before time.Duration) uint64 { return uint64(before / (50 * time.Microsecond)) }
	tally.patience = func() time.Duration { return 0 }
	answers := func(due time.Duration, n int) {
		for range n {
			tally.answered(&outcome{due: due, sent: due, answered: at, class: ServerError})
		}
	}
	answers(0, MaxIDs+7)
	at = 3 * WindowLength
	tally.sealComplete()
	answers(0, MaxIDs-1)
	answers(WindowLength, 5)
	answers(3*WindowLength, 2)
	at = 4 * WindowLength
	tally.sealComplete()
	windows, _ := tally.sealed()
	check := func(what string, a Answers, ids int, beyond uint64) {
		t.Helper()
		if len(a.IDs) != ids || a.BeyondIDs != beyond || a.Unattributed[No5xx].Hits != uint64(ids)+beyond {
			t.Errorf("%s: %d ids, %d beyond, %+v; want %d and %d", what, len(a.IDs), a.BeyondIDs, a.Unattributed[No5xx], ids, beyond)
		}
	}
	check("first", windows[0].Answers, MaxIDs, 7)
	check("last", windows[3].Answers, 2, 0)
	check("late, first", windows[3].Late[0].Answers, MaxIDs-1, 0)
	check("late, second", windows[3].Late[1].Answers, 1, 4)
}

// heard is a random hit, anonymous or not; who answered is known only to the test.
type heard struct {
	outcome
	who string
}

func randomHits(random *rand.Rand, n int) (hits []heard) {
	classes := []Class{"", "", "", ServerError, Timeout, Transport, Throttled, GatewayTime, Wrong}
	for range n {
		h := heard{who: []string{"1", "2"}[random.IntN(2)]}
		h.due = time.Duration(random.Int64N(int64(WindowLength)))
		h.sent = h.due + time.Duration(random.Int64N(1e6))
		h.answered = h.sent + time.Duration(random.Int64N(2e9))
		h.class = classes[random.IntN(len(classes))]
		for i := range h.id {
			h.id[i] = byte(random.Uint32())
		}
		if random.IntN(2) == 0 {
			h.version = []byte(h.who)
		} else {
			h.cause = []Cause{Unrecognised, Conflict}[random.IntN(2)]
		}
		hits = append(hits, h)
	}
	return hits
}

func counted(hits []heard, named func(heard) bool) (a Answers) {
	tally, kept := newTally(Plan{RequestIDs: true}, nil, 0), 0
	for _, h := range hits {
		if named(h) {
			h.version = []byte(h.who)
		}
		tally.count(&a, nil, &h.outcome, &kept)
	}
	return a
}

// Hits attributed afterwards give, to the byte, the answers that they would have given had they named their version.
func TestAttributedIsAsIfItHadBeenKnown(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for round := range 300 {
		hits := randomHits(random, random.IntN(80))
		known := map[RequestID]string{}
		for _, h := range hits {
			if random.IntN(round%4+1) == 0 {
				known[h.id] = h.who
			}
		}
		live := counted(hits, func(heard) bool { return false })
		before := text(t, live)
		got, _ := live.Attributed(func(h Anonymous) string { return known[h.ID] })
		want := counted(hits, func(h heard) bool { return known[h.id] != "" })
		if text(t, got) != text(t, want) {
			t.Fatalf("round %d:\n%s, want\n%s", round, text(t, got), text(t, want))
		}
		if text(t, live) != before {
			t.Fatal("attributing changed what was attributed")
		}
		if again, moved := got.Attributed(func(h Anonymous) string { return known[h.ID] }); moved != 0 || !reflect.DeepEqual(again, got) {
			t.Fatalf("attributed twice: %d moved", moved)
		}
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A file may say of a hit what its tallies do not hold; then it stays where it is.
func TestAttributedTakesOnlyWhatIsThere(t *testing.T) {
	a := Answers{
		Unattributed: map[Cause]*Tally{
			No5xx:        {Hits: 2, Errors: map[Class]uint64{ServerError: 1}, First: 1, Last: 9, Response: Histogram{{3, 1}}, Service: Histogram{{2, 1}}},
			Unrecognised: {Hits: 1, Errors: map[Class]uint64{Wrong: 1}, Response: Histogram{{3, 1}}, Service: Histogram{{2, 1}}},
		},
		BeyondIDs: 4,
	}
	for i, h := range []Anonymous{
		{Cause: No4xx},
		{Cause: No5xx, Class: Timeout},
		{Cause: No5xx, Response: 4, Service: 2},
		{Cause: No5xx, Response: 3, Service: -1},
		{Cause: Unrecognised, Response: 3, Service: 2},
	} {
		a.IDs = []Anonymous{h}
		if _, moved := a.Attributed(func(Anonymous) string { return "2" }); moved != 0 {
			t.Errorf("%d: %+v was moved", i, h)
		}
	}
	a.IDs = []Anonymous{{Cause: No5xx, Class: ServerError, Answered: 5}, {Cause: No5xx, Class: ServerError, Answered: 6}}
	got, moved := a.Attributed(func(Anonymous) string { return "2" })
	left := got.Unattributed[No5xx]
	if moved != 1 || len(got.IDs) != 1 || got.BeyondIDs != 4 || left.Hits != 1 || len(left.Errors) != 0 || left.First != 6 || left.Last != 6 {
		t.Errorf("%d moved: %s", moved, text(t, got))
	}
}

func FuzzAttributed(f *testing.F) {
	f.Add(uint64(1), uint8(20), []byte(`{"unattributed":{"5xx":{"hits":1,"errors":{"5xx":1}}},"ids":[{"id":"c0a8f0e1-1234-4abc-9def-0123456789ab","cause":"5xx","class":"5xx"}]}`))
	f.Add(uint64(2), uint8(200), []byte(`{"arms":{"2":null},"unattributed":{"x":null},"ids":[{"cause":"x","response":-1}]}`))
	f.Fuzz(func(t *testing.T, seed uint64, share uint8, file []byte) {
		var a Answers
		if json.Unmarshal(file, &a) != nil || absurd(a) {
			return
		}
		random := rand.New(rand.NewPCG(seed, 0))
		out, moved := a.Attributed(func(Anonymous) string {
			if random.IntN(256) < int(share) {
				return fmt.Sprint(random.IntN(3))
			}
			return ""
		})
		if int(moved) != len(a.IDs)-len(out.IDs) || total(out) != total(a) || out.BeyondIDs != a.BeyondIDs {
			t.Fatalf("%d moved: %s, from %s", moved, text(t, out), text(t, a))
		}
		if moved == 0 && text(t, out) != text(t, a) {
			t.Fatalf("nothing was moved: %s, from %s", text(t, out), text(t, a))
		}
	})
}

// absurd are counts that overflow when they are added, and tallies that are not there: the reader of a run file
// refuses both.
func absurd(a Answers) bool {
	bad := func(t *Tally) bool { return t == nil || t.Hits > 1<<40 || t.Failed() > t.Hits }
	for _, t := range a.Arms {
		if bad(t) {
			return true
		}
	}
	for _, t := range a.Unattributed {
		if bad(t) {
			return true
		}
	}
	return false
}

// total is all that adds.
func total(a Answers) (sum [4]uint64) {
	add := func(t *Tally) {
		for i, n := range []uint64{t.Hits, t.Failed(), t.Response.Total(), t.Service.Total()} {
			sum[i] += n
		}
	}
	for _, t := range a.Arms {
		add(t)
	}
	for _, t := range a.Unattributed {
		add(t)
	}
	return sum
}
