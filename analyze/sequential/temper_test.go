package sequential

import (
	"math"
	"testing"
)

// A tempered test of hits in blocks of phi is the plain test of the blocks.
func TestTempered(t *testing.T) {
	l := Levels{Alpha: 0.05, Beta: 0.05, Budget: 50_000}
	bound, err := NewBound(0.01, l)
	if err != nil {
		t.Fatal(err)
	}
	split, err := NewSplit(0.5, 0.03, l)
	if err != nil {
		t.Fatal(err)
	}
	difference, err := NewDifference(0.5, 0.005, nil, l)
	if err != nil {
		t.Fatal(err)
	}
	quantile := func() *Quantile {
		q, err := NewQuantile(0.95, Margin{Ratio: 0.1}, 4, 0, DefaultGeometry, l)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	tails := func(times uint64) (b, c Tails) {
		counts := make([]uint64, DefaultGeometry.Last+2)
		for i := range 100 {
			counts[3000+i] = uint64(100-i) * times
		}
		b = NewTails(counts)
		return b, NewTails(append([]uint64{0, 0, 0, 0, 0}, counts[:len(counts)-5]...))
	}
	check := func(name string, plain, tempered float64) {
		t.Helper()
		if math.Abs(plain-tempered) > 1e-9*max(1, math.Abs(plain)) {
			t.Errorf("%s: %v plain, %v tempered", name, plain, tempered)
		}
	}
	for _, phi := range []uint64{1, 3, 7} {
		f := float64(phi)
		check("bound pass", bound.Pass(2, 1000), bound.Tempered(f).Pass(2*phi, 1000*phi))
		check("bound fail", bound.Fail(30, 1000), bound.Tempered(f).Fail(30*phi, 1000*phi))
		check("bound upper", bound.Upper(2, 1000), bound.Tempered(f).Upper(2*phi, 1000*phi))
		check("difference pass", difference.Pass(3, 1500, 2, 1500), difference.Tempered(f).Pass(3*phi, 1500*phi, 2*phi, 1500*phi))
		check("difference fail", difference.Fail(2, 1200, 15, 1180), difference.Tempered(f).Fail(2*phi, 1200*phi, 15*phi, 1180*phi))
		low, high := split.Pass(SplitCount{1000, 3, 2000})
		lowT, highT := split.Tempered(f).Pass(SplitCount{1000 * phi, 3 * phi, 2000 * phi})
		check("split low", low, lowT)
		check("split high", high, highT)
		plain, tempered := quantile(), quantile()
		tempered.Temper(f)
		b, c := tails(1)
		bT, cT := tails(phi)
		want, _ := plain.Pass(b, c, Tails{}, 0)
		got, _ := tempered.Pass(bT, cT, Tails{}, 0)
		check("quantile pass", want, got)
		want, _ = plain.Fail(b, c, Tails{}, 0)
		got, _ = tempered.Fail(bT, cT, Tails{}, 0)
		check("quantile fail", want, got)
	}
}
