package sequential

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The vectors were computed twice by other programs, in Go and with 50-digit arithmetic; testdata/statistics.txt holds them, and the
// design's vectors/README.md says what the names mean. A name that no evaluator knows fails the test.
func TestVectors(t *testing.T) {
	f, err := os.Open("testdata/statistics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]int{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		cut := strings.LastIndexByte(lines.Text(), ' ')
		name, want := lines.Text()[:cut], number(t, lines.Text()[cut+1:])
		got, kind, ok := evaluate(t, name)
		if !ok {
			t.Errorf("%s: unknown name", name)
			continue
		}
		seen[kind]++
		if diff := math.Abs(got - want); !(diff <= 1e-9*math.Abs(want)) && !(want == 0 && diff == 0) {
			t.Errorf("%s = %.12g, want %.12g", name, got, want)
		}
	}
	total := 0
	for _, n := range seen {
		total += n
	}
	if total != 239 {
		t.Errorf("%d vectors evaluated, want all 239", total)
	}
	t.Log(total, seen)
}

var nominal = Levels{Alpha: .05, Beta: .05, Budget: 50_000}

// budgetFor is the vectors' convention.
func budgetFor(theta float64) Levels {
	l := nominal
	if theta == .01 {
		l.Budget = 100_000
	}
	return l
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// evaluate finds the vector's family by what stands before the bracket, then reads the arguments.
func evaluate(t *testing.T, name string) (value float64, kind string, ok bool) {
	t.Helper()
	cut := strings.IndexAny(name, "[(")
	if cut < 0 {
		cut = len(name)
	}
	kind, args := name[:cut], name[cut:]
	family, what, _ := strings.Cut(kind, ".")
	switch family {
	case "grid":
		value = gridVector(t, args)
	case "split", "share":
		value = splitVector(t, what, args)
	case "clip":
		value = clipVector(t, what, args)
	case "splitmin":
		value = splitMinVector(t, what, args)
	case "abs", "err":
		value = boundVector(t, what, args)
	case "stage":
		value = stageVector(t, args)
	case "turns":
		value = turnsVector(t, what, args)
	case "rel", "tlg", "before-during":
		value = differenceVector(t, kind, args)
	case "lat", "hist":
		value = quantileVector(t, kind, args)
	case "cs":
		value = betaVector(t, what, args)
	case "gate":
		value = gateVector(t, args)
	default:
		return 0, kind, false
	}
	return value, kind, !math.IsNaN(value)
}

// numbers reads the numbers out of args, which must have the form of the pattern.
func numbers(t *testing.T, pattern, args string) []float64 {
	t.Helper()
	m := regexp.MustCompile("^" + pattern + "$").FindStringSubmatch(args)
	if m == nil {
		t.Fatalf("%q is not of the form %q", args, pattern)
	}
	x := make([]float64, len(m)-1)
	for i, s := range m[1:] {
		if s != "" {
			x[i] = number(t, s)
		}
	}
	return x
}

func matches(pattern, args string) bool {
	return regexp.MustCompile("^" + pattern + "$").MatchString(args)
}

const num = `([-+]?[0-9.]+)`

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func gridVector(t *testing.T, args string) float64 {
	x := numbers(t, `\[`+num+`,`+num+`,`+num+`\]`, args)
	q := Grid(x[0], Side(x[1]), budgetFor(x[0]).Budget, -math.Log(.05))
	want := map[string]int{"0.47 -1": 7, "0.53 1": 7, "0.01 -1": 5, "0.01 1": 9, "0.05 1": 8, "0.05 -1": 5}[fmt.Sprint(x[0], " ", x[1])]
	if len(q) != want { // the list holds every component, so their number is a vector too
		t.Errorf("grid%s has %d components, want %d", args, len(q), want)
	}
	return q[int(x[2])]
}

func splitVector(t *testing.T, what, args string) float64 {
	x := numbers(t, `\[`+num+`(?:\+`+num+`u)?/`+num+`\]`, args)
	s := must(NewSplit(.5, .03, nominal))
	return splitValue(s, what, SplitCount{uint64(x[0]), uint64(x[1]), uint64(x[2])})
}

func splitValue(s Split, what string, c SplitCount) float64 {
	lowP, highP := s.Pass(c)
	lowF, highF, mean := s.Fail(c)
	lo, hi := s.Bounds(c)
	values := map[string]float64{"lowP": lowP, "highP": highP, "lowF": lowF, "highF": highF, "F": mean, "lo": lo, "hi": hi}
	if v, ok := values[what]; ok {
		return v
	}
	return math.NaN()
}

func clipVector(t *testing.T, what, args string) float64 {
	if what == "M" {
		x := numbers(t, `\(\.9;1\.05,1,\.95,-\.1\)\[`+num+`/`+num+`\]`, args)
		return NewMixture(.9, []float64{1.05, 1, .95, -.1}, []float64{1, 1, 1, 1}).Log(uint64(x[0]), uint64(x[1]))
	}
	x := numbers(t, `\[`+num+`/`+num+`,p0=`+num+`,d=`+num+`\]`, args)
	return splitValue(must(NewSplit(x[2], x[3], nominal)), what, SplitCount{Canary: uint64(x[0]), N: uint64(x[1])})
}

// splitWindows are the README's two runs.
func splitWindows(run byte) []SplitCount {
	w := make([]SplitCount, 40)
	for i := range w {
		u := uint64(i)
		switch {
		case run == 'B':
			w[i] = SplitCount{36 + u%5, 1, 100}
		case i < 8:
			w[i] = SplitCount{30, 1, 100}
		default:
			w[i] = SplitCount{47 + u%7, u % 2, 100}
		}
	}
	return w
}

func splitMinVector(t *testing.T, what, args string) float64 {
	x := numbers(t, `\[[AB],`+num+`,settle=`+num+`\]`, args)
	m, settle := int(x[0]), int(x[1])
	w := splitWindows(args[1])[:m]
	starts := min(m, settle)
	var rest SplitCount
	for _, c := range w[starts:] {
		rest = rest.plus(c)
	}
	min := must(NewSplit(.5, .03, nominal)).MinOverStarts(w[:starts], rest)
	switch what {
	case "F":
		return min.Fail
	case "F.start":
		return float64(min.FailStart)
	}
	return math.NaN()
}

func boundVector(t *testing.T, what, args string) float64 {
	x := numbers(t, `\[`+num+`/`+num+`(?:,ue=`+num+`,us=`+num+`)?\]`, args)
	k, n, ue, us := uint64(x[0]), uint64(x[1]), uint64(x[2]), uint64(x[3])
	b := must(NewBound(.01, budgetFor(.01)))
	switch what {
	case "P":
		return b.Pass(k+ue, n+ue)
	case "F":
		return b.Fail(k, n+us)
	case "ub":
		return b.Upper(k, n)
	}
	return math.NaN()
}

// The vectors are of G(.01, up) alone; a first window weighs it .75, and the starts to come .25.
func stageVector(t *testing.T, args string) float64 {
	x := numbers(t, `\[`+num+`/`+num+`\]`, args)
	s := must(NewStageErrors(.01, budgetFor(.01), 10))
	s.Append(uint64(x[0]), uint64(x[1]))
	e := (math.Exp(s.Log()) - .25) / .75
	if got := s.mixture.Log(uint64(x[0]), uint64(x[1])); math.Abs(got-math.Log(e)) > 1e-9*math.Abs(got) {
		t.Errorf("stage%s: a first window has log E %v, its mixture %v", args, s.Log(), got)
	}
	return math.Log(e)
}

func turnsVector(t *testing.T, what, args string) float64 {
	if what == "theta" {
		x := numbers(t, `\[`+num+`,`+num+`\]`, args)
		return must(NewTurns(x[0], x[1], nominal)).Theta()
	}
	x := numbers(t, `\[`+num+`/`+num+`\]`, args)
	return must(NewTurns(.5, .03, nominal)).Fail(uint64(x[0]), uint64(x[1]-x[0]))
}

func differenceVector(t *testing.T, kind, args string) float64 {
	d := newDesign(.001, .001, .005, .5)
	switch kind {
	case "tlg.m0":
		return math.Exp(logDesigns([]design{newDesign(2./3, 1./3, 0, .5)}, 0, 0, 1, 1, 0, 1))
	case "rel.r":
		return 1 / (1 + math.Exp(d.b-logit(.001))) // r is kept in the tilts only
	case "rel.lb":
		return d.b
	case "rel.lc":
		return d.c
	case "rel.D":
		x := numbers(t, `\(`+num+`,`+num+`\)`, args)
		return d.normaliser(.005, x[0], x[1])
	case "before-during.F":
		x := numbers(t, `\[`+num+`/`+num+`,`+num+`/`+num+`,m=`+num+`\]`, args)
		return must(NewDifference(.5, x[4], nil, nominal)).Fail(uint64(x[0]), uint64(x[1]), uint64(x[2]), uint64(x[3]))
	}
	x := numbers(t, `\[`+num+`/`+num+`,`+num+`/`+num+`(?:,ue=`+num+`,us=`+num+`)?(?:,before=`+num+`/`+num+`)?(?:,p0=`+num+`)?(?:,m=`+num+`)?\]`, args)
	kb, nb, kc, nc, ue, us := uint64(x[0]), uint64(x[1]), uint64(x[2]), uint64(x[3]), uint64(x[4]), uint64(x[5])
	var before *Rate
	if x[7] > 0 {
		before = &Rate{uint64(x[6]), uint64(x[7])}
	}
	share, margin := .5, .005
	if x[8] > 0 {
		share = x[8]
	}
	if x[9] > 0 {
		margin = x[9]
	}
	test := must(NewDifference(share, margin, before, nominal))
	switch kind {
	case "rel.P":
		return test.Pass(kb, nb+us, kc+ue, nc+ue)
	case "rel.F":
		return test.Fail(kb+ue, nb+ue, kc, nc+us)
	case "rel.ub":
		return test.Upper(kb, nb, kc, nc)
	}
	return math.NaN()
}

// bins builds a histogram of the default geometry: -1 is the underflow.
func bins(hits map[int]uint64) Tails {
	counts := make([]uint64, DefaultGeometry.Last+2)
	for j, n := range hits {
		counts[j+1] = n
	}
	return NewTails(counts)
}

// lognormal is the README's G(i).
func lognormal(i int) Tails {
	c := make([]uint64, DefaultGeometry.Last+2)
	c[0], c[1] = 5000, 5000
	for j := 0; j < DefaultGeometry.Last; j++ {
		z := float64(j+1-i) * .002 / .5
		c[j+2] = uint64(5000*math.Erfc(z/math.Sqrt2)/2 + .5)
	}
	return Tails{c}
}

func histogram(t *testing.T, name string) Tails {
	t.Helper()
	if matches(`G\(\d+\)`, name) {
		return lognormal(int(numbers(t, `G\((\d+)\)`, name)[0]))
	}
	known := map[string]map[int]uint64{
		"H0":    {-1: 1900, 3000: 80, 3100: 20},
		"H1":    {-1: 1900, 3000: 80, 3040: 20},
		"H2":    {-1: 1800, 200: 180, 3100: 20},
		"H3":    {560: 1900, 3100: 100},
		"H4":    {2000: 4700, 4000: 200, 7803: 100},
		"H5":    {2000: 4760, 4000: 140, 7803: 100},
		"H5+47": {2047: 4760, 4047: 140, 7803: 100},
		"H5+49": {2049: 4760, 4049: 140, 7803: 100},
	}
	h, ok := known[name]
	if !ok {
		t.Fatalf("no histogram %q", name)
	}
	return bins(h)
}

func quantileVector(t *testing.T, kind, args string) float64 {
	if strings.HasPrefix(args, "(same") || strings.HasPrefix(args, "(+15") {
		return coarseVector(t, kind, args)
	}
	margin, tail, quantile, pending := Margin{Ratio: .1}, 4., 0., 0.
	if kind == "lat.P" || kind == "lat.F" {
		x := numbers(t, `\[`+num+`/`+num+`,`+num+`/`+num+`(?:,a=`+num+`)?\]`, args)
		if x[4] > 0 {
			tail = x[4]
		}
		q := must(NewQuantile(.95, margin, tail, 0, DefaultGeometry, nominal))
		e := &q.pass
		if kind == "lat.F" {
			e = &q.fail
		}
		return e.log(uint64(x[0]), uint64(x[1]), uint64(x[2]), uint64(x[3]))
	}
	const h = `(H\d(?:\+\d+)?|G\(\d+\))`
	m := regexp.MustCompile(`^[\[(]` + h + `,` + h + `(?:([,;])(.*))?[\])]$`).FindStringSubmatch(args)
	if m == nil {
		t.Fatalf("%s%s: cannot be read", kind, args)
	}
	switch option := m[4]; {
	case option == "":
	case option == "10%or1ms":
		margin.AddNS = 1e6
	case option == "2ms(Qb=4ms)":
		margin, quantile = Margin{AddNS: 2e6}, 4e6
	case option == "pending=10", option == "pendingB=10":
		pending = 10
	default:
		t.Fatalf("%s%s: unknown option", kind, args)
	}
	q := must(NewQuantile(.95, margin, tail, quantile, DefaultGeometry, nominal))
	b, c := histogram(t, m[1]), histogram(t, m[2])
	least, at := q.Pass(b, c, Tails{}, uint64(pending))
	if strings.HasPrefix(kind, "hist.minF") {
		least, at = q.Fail(b, c, Tails{}, uint64(pending))
	}
	switch kind {
	case "hist.minP", "hist.minF":
		return least
	case "hist.minP.j", "hist.minF.j":
		return float64(at)
	case "lat.ub":
		return q.UpperRatio(b, c, Tails{}, 0)
	case "lat.ub.bins":
		return math.Log1p(q.UpperRatio(b, c, Tails{}, 0)) / DefaultGeometry.LogStep
	}
	return math.NaN()
}

// coarseVector has bins of 2 %: bin i holds 100-i hits.
func coarseVector(t *testing.T, kind, args string) float64 {
	g := Geometry{First: 1e6, LogStep: .02, Last: 199}
	shift := 0
	if args == "(+15 bins)" {
		shift = 15
	}
	b, c := make([]uint64, g.Last+2), make([]uint64, g.Last+2)
	for i := range 100 {
		b[i+1] = uint64(100 - i)
		c[i+1+shift] = uint64(100 - i)
	}
	q := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, g, nominal))
	least, _ := q.Pass(NewTails(b), NewTails(c), Tails{}, 0)
	if kind == "hist.minF" {
		least, _ = q.Fail(NewTails(b), NewTails(c), Tails{}, 0)
	}
	return least
}

func betaVector(t *testing.T, what, args string) float64 {
	x := numbers(t, `\[`+num+`/`+num+`,a=`+num+`,Beta\(`+num+`,`+num+`\)\]`, args)
	lo, hi := must(NewBetaSequence(x[3], x[4])).Interval(uint64(x[0]), uint64(x[1]), x[2])
	if what == "lo" {
		return lo
	}
	return hi
}

// gateVector: relative errors, relative latency, split, stage, absolute errors, absolute latency; "-" is left out.
func gateVector(t *testing.T, args string) float64 {
	weights := []float64{.30, .30, .15, .15, .05, .05}
	var e, w []float64
	for i, s := range strings.Split(strings.Trim(args, "[]"), ",") {
		if s != "-" {
			e, w = append(e, number(t, s)), append(w, weights[i])
		}
	}
	return LogWeightedMean(e, w)
}
