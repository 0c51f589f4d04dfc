package sequential

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// plain is the full scan.
func (s *scan) plain() (least float64, bin int) {
	least = math.Inf(1)
	for j := Underflow; j <= s.last; j++ {
		if e := s.at(j); e < least {
			least, bin = e, j
		}
	}
	return least, bin
}

// randomTails is a histogram of one of several shapes: empty, a few spikes, lognormal of any width and place.
func randomTails(rng *rand.Rand, g Geometry) Tails {
	counts := make([]uint64, g.Last+2)
	switch n := rng.IntN(5000); rng.IntN(6) {
	case 0:
	case 1, 2:
		for range 1 + rng.IntN(6) {
			counts[rng.IntN(len(counts))] += rng.Uint64N(1000)
		}
	default:
		centre, width := rng.Float64()*float64(g.Last), rng.Float64()*float64(g.Last)/4
		for range n {
			counts[min(max(int(centre+width*rng.NormFloat64()), 0), g.Last+1)]++
		}
	}
	return NewTails(counts)
}

// The search finds what the full scan finds: the same bits, the same bin, wherever it starts; and it looks at few bins only, or
// the judge would fall behind.
func TestMinimumIsTheFullScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	most := 0
	for run := range 400 {
		g := Geometry{First: 1e4, LogStep: .05, Last: 300}
		if run%20 == 0 {
			g = DefaultGeometry
		}
		margin := []Margin{{Ratio: .1}, {Ratio: .1, AddNS: 1e6}, {AddNS: 3e7}, {Ratio: 50}}[run%4]
		q := must(NewQuantile([]float64{.95, .5, .99}[run%3], margin, 4, 0, g, nominal))
		b, c := randomTails(rng, g), randomTails(rng, g)
		switch run % 6 {
		case 0, 3: // a canary much like the baseline
			c = Tails{append([]uint64(nil), b.C...)}
		case 1:
			b = Tails{}
		case 2:
			c = Tails{}
		}
		var anon Tails
		if run%2 == 0 {
			anon = randomTails(rng, g)
			for i := range anon.C {
				anon.C[i] /= 20
			}
		}
		pending := rng.Uint64N(3) * rng.Uint64N(20)
		q.passHint, q.failHint = rng.IntN(g.Last+2)-1, rng.IntN(g.Last+2)-1
		pass := scan{e: &q.pass, b: b, c: c, anon: anon, pending: pending, limit: q.passLimit, last: g.Last}
		fail := scan{e: &q.fail, b: b, c: c, anon: anon, pending: pending, limit: q.failLimit, last: g.Last, fail: true}
		for _, side := range []scan{pass, fail} { // copies: the count is theirs
			if side.minimum(0); side.evaluated > 1500 {
				t.Errorf("run %d: %d evaluations for %d bins", run, side.evaluated, g.Last+2)
			}
			most = max(most, side.evaluated)
		}
		for look := range 2 { // the second starts at the minimum
			mostPass, mostFail := q.AtMost(b, c, anon, pending)
			want, at := pass.plain()
			if least, _ := fail.plain(); mostPass < want || mostFail < least || look == 1 && (mostPass != want || mostFail != least) {
				t.Errorf("run %d, look %d: at most %v and %v, full scans %v and %v", run, look, mostPass, mostFail, want, least)
			}
			if got, bin := q.Pass(b, c, anon, pending); got != want || bin != at {
				t.Errorf("run %d, look %d: PASS %v in bin %d, full scan %v in bin %d", run, look, got, bin, want, at)
			}
			want, at = fail.plain()
			if got, bin := q.Fail(b, c, anon, pending); got != want || bin != at {
				t.Errorf("run %d, look %d: FAIL %v in bin %d, full scan %v in bin %d", run, look, got, bin, want, at)
			}
		}
	}
	t.Logf("at most %d evaluations", most)
}

// One arm without responses leaves a plateau on which every bin has other counts and the same value.
func TestPlateauIsCheap(t *testing.T) {
	q := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, DefaultGeometry, nominal))
	counts := make([]uint64, DefaultGeometry.Last+2)
	for i := range counts {
		counts[i] = uint64(i % 2)
	}
	each := NewTails(counts)
	for name, s := range map[string]*scan{
		"canary only, PASS":   {e: &q.pass, c: each, limit: q.passLimit, last: DefaultGeometry.Last},
		"canary only, FAIL":   {e: &q.fail, c: each, limit: q.failLimit, last: DefaultGeometry.Last, fail: true},
		"baseline only, PASS": {e: &q.pass, b: each, limit: q.passLimit, last: DefaultGeometry.Last},
		"baseline only, FAIL": {e: &q.fail, b: each, limit: q.failLimit, last: DefaultGeometry.Last, fail: true},
	} {
		want, at := s.plain()
		s.evaluated = 0
		if got, bin := s.minimum(3000); got != want || bin != at || s.evaluated > 1500 {
			t.Errorf("%s: %v in bin %d after %d evaluations, full scan %v in bin %d", name, got, bin, s.evaluated, want, at)
		}
	}
}

// UpperRatio is the first shift that the full scan proves.
func TestUpperRatioIsTheFirstProven(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	g := Geometry{First: 1e4, LogStep: .1, Last: 100}
	kinds := map[string]int{}
	for range 80 {
		q := must(NewQuantile(.9, Margin{Ratio: .1}, 4, 0, g, nominal))
		b, c := randomTails(rng, g), randomTails(rng, g)
		s := scan{e: &q.pass, b: b, c: c, pending: rng.Uint64N(5), last: g.Last}
		want := math.Inf(1)
		for s.shift = 0; s.shift <= g.Last+1; s.shift++ {
			if least, _ := s.plain(); least >= q.toPass {
				want = math.Expm1(g.LogStep * float64(s.shift))
				break
			}
		}
		if got := q.UpperRatio(b, c, Tails{}, s.pending); got != want {
			t.Errorf("upper ratio %v, full scan %v", got, want)
		}
		switch {
		case math.IsInf(want, 1):
			kinds["none"]++
		case want == 0:
			kinds["no increase"]++
		default:
			kinds["some"]++
		}
	}
	if len(kinds) != 3 {
		t.Errorf("only %v: the test does not see all cases", kinds)
	}
}

// UpperTimes is the first multiple that the full scan proves, and at most 1 exactly where Pass passes.
func TestUpperTimesAgreesWithPass(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	g := Geometry{First: 1e4, LogStep: .1, Last: 100}
	passed, failed, between := 0, 0, 0
	for range 300 {
		m := Margin{Ratio: .1, AddNS: 1e4 * math.Exp(rng.Float64()*8)}
		q := must(NewQuantile(.9, m, 4, 0, g, nominal))
		b, c := randomTails(rng, g), randomTails(rng, g)
		pending := rng.Uint64N(3)
		least, _ := q.Pass(b, c, Tails{}, pending)
		times := q.UpperTimes(b, c, Tails{}, pending)
		if (least >= q.toPass) != (times <= 1) {
			t.Errorf("margin %v: log E %v where %v is needed, but %v times the margin is ruled out", m, least, q.toPass, times)
		}
		switch {
		case times <= 1:
			passed++
		case math.IsInf(times, 1):
			failed++
		default:
			between++
		}
		if math.IsInf(times, 1) || times == 0 {
			continue
		}
		for _, at := range []struct {
			times float64
			want  bool
		}{{times, true}, {times * math.Exp(-g.LogStep), false}} {
			narrower := must(NewQuantile(.9, Margin{Ratio: m.Ratio * at.times, AddNS: m.AddNS * at.times}, 4, 0, g, nominal))
			narrower.pass = q.pass // the alternatives are the margin's
			if least, _ := narrower.Pass(b, c, Tails{}, pending); (least >= q.toPass) != at.want {
				t.Errorf("margin %v, %v times: log E %v where %v is needed, want %v", m, at.times, least, q.toPass, at.want)
			}
		}
	}
	if passed == 0 || failed == 0 || between == 0 {
		t.Errorf("%d passed, %d with nothing ruled out, %d between: the test does not see all cases", passed, failed, between)
	}
}

// The heart of validity: at every latency x, whoever the nameless were and whatever the pending turn out to be, what the bins say is
// at most what the exact latencies say.
func TestBinsSayLess(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	g := Geometry{First: 1e4, LogStep: .1, Last: 80} // up to 30 ms
	latencies := func(n int, scale float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = scale * math.Exp(2*rng.NormFloat64())
			if rng.IntN(30) == 0 {
				x[i] = g.edge(rng.IntN(g.Last + 2)) // on an edge
			}
		}
		return x
	}
	tails := func(x []float64) Tails {
		counts := make([]uint64, g.Last+2)
		for _, ns := range x {
			j := min(g.bin(ns), g.Last)
			for j < g.Last && g.edge(j+1) <= ns { // by the edges, as the logarithm may round
				j++
			}
			for j > Underflow && g.edge(j) > ns {
				j--
			}
			counts[j+1]++
		}
		return NewTails(counts)
	}
	tight := 0
	for run := range 3000 {
		margin := []Margin{{Ratio: .1}, {Ratio: .3}, {Ratio: .02, AddNS: 3e5}, {AddNS: 2e6}, {AddNS: 5e3}}[run%5]
		q := must(NewQuantile(.7, margin, 4, 0, g, nominal))
		scale := 1e4 * math.Exp(rng.Float64()*7)
		xb, xc := latencies(rng.IntN(40), scale), latencies(rng.IntN(40), scale)
		xu := latencies(rng.IntN(8), scale)
		pending := rng.IntN(3)
		b, c, u := tails(xb), tails(xc), tails(xu)

		for _, x := range xu { // somebody's after all
			if rng.IntN(2) == 0 {
				xb = append(xb, x)
			} else {
				xc = append(xc, x)
			}
		}
		for range pending {
			if rng.IntN(2) == 0 {
				xb = append(xb, math.Inf(1))
			} else {
				xc = append(xc, math.Inf(1))
			}
		}
		x := scale * math.Exp(2*rng.NormFloat64())
		if rng.IntN(2) == 0 && len(xb) > 0 && !math.IsInf(xb[0], 1) {
			x = xb[0]
		}
		g2 := max((1+margin.Ratio)*x, x+margin.AddNS)
		var kb, kc uint64
		for _, v := range xb {
			if v > x {
				kb++
			}
		}
		for _, v := range xc {
			if v > g2 {
				kc++
			}
		}
		j := min(g.bin(x), g.Last)
		for j > Underflow && g.edge(j) > x {
			j--
		}
		pass := scan{e: &q.pass, b: b, c: c, anon: u, pending: uint64(pending), limit: q.passLimit, last: g.Last}
		fail := scan{e: &q.fail, b: b, c: c, anon: u, pending: uint64(pending), limit: q.failLimit, last: g.Last, fail: true}
		for name, s := range map[string]*scan{"pass": &pass, "fail": &fail} {
			truth := s.e.log(kb, uint64(len(xb)), kc, uint64(len(xc)))
			if got := s.at(j); got > truth+1e-9 {
				t.Fatalf("run %d, %s, %+v at %v (bin %d): bins say %v, latencies %v", run, name, margin, x, j, got, truth)
			} else if got > truth-1e-9 {
				tight++
			}
		}
	}
	if tight < 100 {
		t.Errorf("bins say the same in %d cases only: valid but blunt", tight)
	}
}

// Every further hanging or nameless hit lowers both sides.
func TestQuantileMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	g := Geometry{First: 1e4, LogStep: .05, Last: 200}
	q := must(NewQuantile(.9, Margin{Ratio: .1}, 4, 0, g, nominal))
	for range 100 {
		b, c, anon := randomTails(rng, g), randomTails(rng, g), make([]uint64, g.Last+2)
		lastPass, lastFail := math.Inf(1), math.Inf(1)
		for pending := range uint64(10) {
			pass, _ := q.Pass(b, c, NewTails(anon), pending)
			fail, _ := q.Fail(b, c, NewTails(anon), pending)
			if pass > lastPass+1e-9 || fail > lastFail+1e-9 {
				t.Fatalf("pending %d: PASS %v after %v, FAIL %v after %v", pending, pass, lastPass, fail, lastFail)
			}
			lastPass, lastFail = pass, fail
			anon[rng.IntN(len(anon))]++
		}
	}
}

// The whole test at its boundary and well off it, on lognormal latencies.
func TestQuantileSimulated(t *testing.T) {
	g := Geometry{First: 1e6, LogStep: .004, Last: 1500}
	rng := rand.New(rand.NewPCG(13, 14))
	for _, c := range []struct {
		slower     float64
		runs, hits int
		pass, fail [2]float64 // share of runs, least and most
	}{
		{1.10, 300, 6000, [2]float64{0, .05}, [2]float64{0, .05}},
		{1.00, 60, 16000, [2]float64{.9, 1}, [2]float64{0, .05}},
		{1.50, 60, 4000, [2]float64{0, .02}, [2]float64{.95, 1}},
	} {
		passed, failed := 0, 0
		for range c.runs {
			q := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, g, nominal))
			counts := [2][]uint64{make([]uint64, g.Last+2), make([]uint64, g.Last+2)}
			var b, cn Tails
			for i := 1; i <= c.hits; i++ {
				arm, ns := rng.IntN(2), 30e6*math.Exp(.5*rng.NormFloat64())
				if arm == 1 {
					ns *= c.slower
				}
				counts[arm][min(g.bin(ns), g.Last)+1]++
				if i%400 != 0 {
					continue
				}
				b.Fill(counts[0])
				cn.Fill(counts[1])
				if e, _ := q.Fail(b, cn, Tails{}, 0); e >= nominal.fail() {
					failed++
					break
				}
				if e, _ := q.Pass(b, cn, Tails{}, 0); e >= nominal.pass() {
					passed++
					break
				}
			}
		}
		pass, fail := float64(passed)/float64(c.runs), float64(failed)/float64(c.runs)
		t.Logf("canary x %v: PASS %.3f, FAIL %.3f", c.slower, pass, fail)
		if pass < c.pass[0] || pass > c.pass[1] || fail < c.fail[0] || fail > c.fail[1] {
			t.Errorf("canary x %v: PASS %.3f, want %v; FAIL %.3f, want %v", c.slower, pass, c.pass, fail, c.fail)
		}
	}
}

func TestTailIndex(t *testing.T) {
	for _, c := range []struct{ half, double, want float64 }{
		{160, 114, math.Log(4) / math.Log(160./114)}, // 4.0896
		{400, 100, 1}, {1e9, 1, 1}, {101, 100, 12}, {100, 100, 12}, {90, 100, 12},
		{0, 0, 4}, {math.NaN(), 1, 4}, {math.Inf(1), 1, 4},
	} {
		if got := TailIndex(c.half, c.double); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("TailIndex(%v, %v) = %v, want %v", c.half, c.double, got, c.want)
		}
	}
}

func TestTails(t *testing.T) {
	tails := NewTails([]uint64{1, 0, 5, 2})
	if got := fmt.Sprint(tails.C); got != "[8 7 7 2]" {
		t.Errorf("tails %s", got)
	}
	if tails.from(Underflow) != 8 || tails.from(2) != 2 || tails.from(3) != 0 || (&Tails{}).from(Underflow) != 0 {
		t.Error("from does not count the bins at or above")
	}
	counts := []uint64{9, 9, 9, 9}
	if n := testing.AllocsPerRun(10, func() { tails.Fill(counts) }); n != 0 || tails.C[0] != 36 {
		t.Errorf("%v allocations, %v hits", n, tails.C[0])
	}
}
