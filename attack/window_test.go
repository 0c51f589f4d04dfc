package attack

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// Every nanosecond near an edge lies in the bin that mathematics says: bin i from 10 us * e^(0.002 (i-1)) on.
func TestBinEdgesAreExact(t *testing.T) {
	for bin := 1; bin < Bins; bin++ {
		edge := 10e3 * math.Exp(0.002*float64(bin-1))
		first := time.Duration(math.Ceil(edge))
		if float64(first) < edge {
			t.Fatalf("bin %d: %v", bin, edge)
		}
		if got := BinOf(first); got != bin {
			t.Fatalf("%d ns is in bin %d, want %d from %v on", first, got, bin, edge)
		}
		if got := BinOf(first - 1); got != bin-1 {
			t.Fatalf("%d ns is in bin %d, want %d before %v", first-1, got, bin-1, edge)
		}
	}
	check := func(d time.Duration, want int) {
		t.Helper()
		if got := BinOf(d); got != want {
			t.Errorf("%v is in bin %d, want %d", d, got, want)
		}
	}
	check(-time.Second, 0)
	check(0, 0)
	check(9999*time.Nanosecond, 0)
	check(10*time.Microsecond, 1)
	check(time.Minute, Bins-1)
	check(time.Hour, Bins-1)
	check(math.MaxInt64, Bins-1)
	if at := BinStart(Bins - 1); at > 60e9 || at*math.Exp(0.002) < 60e9 {
		t.Errorf("the last bin starts at %v ns", at)
	}
}

func TestBinOfIsMonotonic(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 200000 {
		d := time.Duration(math.Exp(random.Float64() * math.Log(100e9)))
		bin := BinOf(d)
		if float64(d) < BinStart(bin) || bin < Bins-1 && float64(d) >= BinStart(bin+1) {
			t.Fatalf("%d ns in bin %d of [%v, %v)", d, bin, BinStart(bin), BinStart(bin+1))
		}
	}
}

func TestHistogramAddsUp(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var whole, a, b Histogram
	var all []time.Duration
	for i := range 5000 {
		d := time.Duration(random.ExpFloat64() * 5e6)
		all = append(all, d)
		whole.Add(d)
		if i%3 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	a.Merge(b)
	if !slices.Equal(a, whole) || whole.Total() != 5000 {
		t.Errorf("parts do not add up to the whole")
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[max(int(math.Ceil(q*5000)), 1)-1]
		if got := whole.Quantile(q); got < exact || float64(got) > max(10e3, float64(exact)*1.0021) {
			t.Errorf("quantile %v is %v, exactly %v", q, got, exact)
		}
	}
}

func TestHistogramOfNothing(t *testing.T) {
	var h Histogram
	h.AddBin(7, 0)
	if h != nil || h.Total() != 0 || h.Quantile(0.5) != 0 {
		t.Errorf("%v", h)
	}
}

func TestHistogramOfTheSlowest(t *testing.T) {
	var h Histogram
	h.Add(2 * time.Minute)
	if got := h.Quantile(0.5); got < 59*time.Second || got > 61*time.Second {
		t.Errorf("quantile in the last bin: %v, want about its edge, 60 s", got)
	}
}

func randomWindow(random *rand.Rand) Window {
	histogram := func() (h Histogram) {
		for range random.IntN(20) {
			h.AddBin(random.IntN(Bins), 1+random.Uint64N(1<<uint(1+random.IntN(60))))
		}
		return h
	}
	tally := func() *Tally {
		t := &Tally{Hits: random.Uint64N(1000), First: time.Duration(random.Int64N(1e12)), Last: time.Duration(random.Int64N(1e12)), Response: histogram(), Service: histogram()}
		if random.IntN(2) == 0 {
			t.Errors = map[Class]uint64{ServerError: random.Uint64N(9), Wrong: 1}
		}
		return t
	}
	answers := func() (a Answers) {
		if random.IntN(3) > 0 {
			a.Arms = map[string]*Tally{"1": tally(), "2": tally(), `a "b"`: tally()}
		}
		if random.IntN(3) > 0 {
			a.Unattributed = map[Cause]*Tally{No5xx: tally()}
			a.BeyondIDs = random.Uint64N(3)
		}
		for range random.IntN(3) {
			h := Anonymous{Cause: No5xx, Class: ServerError, Answered: time.Duration(random.Int64N(1e12))}
			if h.ID[random.IntN(16)] = byte(random.Uint32()); random.IntN(2) == 0 {
				h.Class, h.Response, h.Service = "", random.IntN(Bins), random.IntN(Bins)
			}
			a.IDs = append(a.IDs, h)
		}
		return a
	}
	w := Window{
		Phase: "during", Index: random.Int64N(1e6), Start: time.Duration(random.Int64N(1e15)), Length: WindowLength,
		Due: random.Uint64N(1e4), Sent: random.Uint64N(1e4), Hits: random.Uint64N(1e4), Pending: random.Uint64N(1e4),
		Answers: answers(), Turns: Turns{random.Uint64N(9), random.Uint64N(9)}, Resent: random.Uint64N(3), Wake: histogram(), Blocked: histogram(),
	}
	parts := func() (parts map[string]*Part) {
		if random.IntN(2) == 0 {
			parts = map[string]*Part{"GET /products": {Due: random.Uint64N(9), Answers: answers()}, "POST /orders": {}}
		}
		return parts
	}
	w.Targets = parts()
	for i := range random.IntN(3) {
		w.Late = append(w.Late, Late{Index: int64(i), Answers: answers(), Targets: parts()})
		w.Examples = append(w.Examples, `status 200, "x"`)
	}
	return w
}

func TestWindowRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		w := randomWindow(random)
		text, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		var got Window
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, w) {
			t.Fatalf("%+v came back as %+v", w, got)
		}
	}
}

// The keys are a file format.
func TestWindowKeys(t *testing.T) {
	w := Window{
		Phase: "during", Index: 41, Start: 4100 * time.Millisecond, Length: WindowLength, Due: 3, Sent: 3, Hits: 2, Pending: 1,
		Answers: Answers{
			Arms:         map[string]*Tally{"1": {Hits: 1, First: 5, Last: 6, Response: Histogram{{1, 2}, {300, 1}}, Service: Histogram{{0, 1}}}},
			Unattributed: map[Cause]*Tally{No5xx: {Hits: 1, Errors: map[Class]uint64{ServerError: 1}, First: 7, Last: 8}},
			IDs:          []Anonymous{{ID: RequestID{0xc0, 15: 1}, Cause: No5xx, Class: ServerError, Answered: 7}, {Cause: Unrecognised, Answered: 8, Response: 3, Service: 2}},
			BeyondIDs:    1,
		},
		Targets: map[string]*Part{"GET /products": {Due: 2, Answers: Answers{Arms: map[string]*Tally{"1": {Hits: 1, First: 5, Last: 6}}}}, "POST /orders": {Due: 1}},
		Late: []Late{{Index: 31, Answers: Answers{Arms: map[string]*Tally{"2": {Hits: 1}}},
			Targets: map[string]*Part{"POST /orders": {Answers: Answers{Arms: map[string]*Tally{"2": {Hits: 1}}}}}}},
		Turns:    Turns{Same: 1, Switched: 2},
		Resent:   3,
		Wake:     Histogram{{5, 3}},
		Examples: []string{"status 201, 0 bytes"},
	}
	const want = `{"phase":"during","index":41,"start_ns":4100000000,"length_ns":100000000,"due":3,"sent":3,"hits":2,"pending":1,` +
		`"arms":{"1":{"hits":1,"first_ns":5,"last_ns":6,"response":"AQKrAgE","service":"AAE"}},` +
		`"unattributed":{"5xx":{"hits":1,"errors":{"5xx":1},"first_ns":7,"last_ns":8}},` +
		`"ids":[{"id":"c0000000-0000-0000-0000-000000000001","cause":"5xx","class":"5xx","at_ns":7},` +
		`{"id":"00000000-0000-0000-0000-000000000000","cause":"unrecognised","at_ns":8,"response":3,"service":2}],"beyond_ids":1,` +
		`"targets":{"GET /products":{"due":2,"arms":{"1":{"hits":1,"first_ns":5,"last_ns":6}}},"POST /orders":{"due":1}},` +
		`"late":[{"index":31,"arms":{"2":{"hits":1,"first_ns":0,"last_ns":0}},"targets":{"POST /orders":{"arms":{"2":{"hits":1,"first_ns":0,"last_ns":0}}}}}],` +
		`"turns":{"same":1,"switched":2},"resent":3,"wake":"BQM","examples":["status 201, 0 bytes"]}`
	got, err := json.Marshal(w)
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s, want\n%s", err, got, want)
	}
}

func TestMerge(t *testing.T) {
	a := Answers{Arms: map[string]*Tally{"1": {Hits: 2, First: 10, Last: 20, Errors: map[Class]uint64{Wrong: 1}}}}
	b := Answers{
		Arms:         map[string]*Tally{"1": {Hits: 1, First: 5, Last: 7}, "2": {Hits: 1, First: 0, Last: 3, Errors: map[Class]uint64{Timeout: 1}}, "3": {}},
		Unattributed: map[Cause]*Tally{No429: {Hits: 4, First: 1, Last: 9, Errors: map[Class]uint64{Throttled: 4}}},
		IDs:          []Anonymous{{Cause: No429, Class: Throttled}},
		BeyondIDs:    3,
	}
	a.Merge(b)
	a.Merge(b)
	check := func(t2 *Tally, n, failed uint64, first, last time.Duration) {
		t.Helper()
		if t2 == nil || t2.Hits != n || t2.Failed() != failed || t2.First != first || t2.Last != last {
			t.Errorf("%+v, want %d hits, %d failed, %d to %d", t2, n, failed, first, last)
		}
	}
	check(a.Arms["1"], 4, 1, 5, 20)
	check(a.Arms["2"], 2, 2, 0, 3)
	check(a.Unattributed[No429], 8, 8, 1, 9)
	if len(a.IDs) != 2 || a.BeyondIDs != 6 {
		t.Errorf("%d ids and %d beyond, want 2 and 6", len(a.IDs), a.BeyondIDs)
	}
	if b.Arms["1"].Hits != 1 {
		t.Error("merging changed what was merged")
	}
}

func FuzzHistogram(f *testing.F) {
	for _, text := range []string{"", "AQKrAgE", "AAE", "AAEAAQ", "_", "AA", "/zwB", "AP///////////wE", "gICAgICAgICAAQE", "AoAA", "AAE="} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var h Histogram
		if h.UnmarshalText(text) != nil {
			return
		}
		for i, b := range h {
			if b.Bin < 0 || b.Bin >= Bins || b.Count == 0 || i > 0 && b.Bin <= h[i-1].Bin {
				t.Fatalf("%q was read as %v", text, h)
			}
		}
		again, err := h.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Histogram
		if err := back.UnmarshalText(again); err != nil || !slices.Equal(back, h) {
			t.Fatalf("%v came back as %v: %v", h, back, err)
		}
	})
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte(`{"phase":"a","index":1,"due":3,"arms":{"1":{"hits":1,"errors":{"5xx":1},"response":"AQKrAgE"}},"late":[{"index":0}]}`))
	f.Add([]byte(`{"ids":[{"id":"C0A8F0E1-1234-4abc-9def-0123456789ab","cause":"5xx","at_ns":-1,"response":9}],"beyond_ids":2,"late":[{"index":0,"ids":[{"id":"","cause":"x"}]}]}`))
	f.Add([]byte(`{"arms":{"1":null},"unattributed":{"x":{"hits":1}},"late":[{"arms":{"2":null}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var w Window
		if json.Unmarshal(text, &w) != nil {
			return
		}
		first, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		var back Window
		if err := json.Unmarshal(first, &back); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		second, err := json.Marshal(back)
		if err != nil || string(second) != string(first) {
			t.Fatalf("%s, then %s: %v", first, second, err)
		}
		// Whoever adds up windows must survive what a file says.
		var sum Answers
		sum.Merge(w.Answers)
		for _, late := range w.Late {
			sum.Merge(late.Answers)
		}
	})
}

func BenchmarkBinOf(b *testing.B) {
	for i := range b.N {
		sink += BinOf(time.Duration(i&0xffffff) + 10000)
	}
}

var sink int
