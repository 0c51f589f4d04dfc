package sequential

import "math"

// Geometry is that of the latency histograms: bin j, 0 to Last, starts at First*e^(LogStep*j); what is below First is the
// underflow, j = -1. The last bin also holds everything above it, so a hit that is slower than anything measured (a timeout of a
// known version) belongs there.
type Geometry struct {
	First   float64 // lower edge of bin 0, ns, above 0
	LogStep float64 // log of the ratio of neighbouring edges, above 0
	Last    int     // last bin, 0 to 1,000,000
}

// DefaultGeometry is 10 us to 60 s in steps of .2 %.
var DefaultGeometry = Geometry{First: 10e3, LogStep: 0.002, Last: 7803}

// Underflow is the bin below the first edge.
const Underflow = -1

// edge is the lower edge of bin j, ns.
func (g Geometry) edge(j int) float64 { return g.First * math.Exp(g.LogStep*float64(j)) }

// bin is the bin that holds a latency, not cut off at Last; Underflow below the first edge.
func (g Geometry) bin(ns float64) int {
	if ns < g.First {
		return Underflow
	}
	return int(math.Floor(math.Log(ns/g.First) / g.LogStep))
}

// edgeAbove is the first bin whose lower edge is at or above a latency.
func (g Geometry) edgeAbove(ns float64) int {
	return max(0, int(math.Ceil(math.Log(ns/g.First)/g.LogStep)))
}

// Tails are a histogram summed from above. C[0] counts all hits, C[i] those in bin i-1 or above (bins as in Geometry, so index i
// counts the underflow as 0); Last+2 entries. An empty C is a histogram without hits.
type Tails struct{ C []uint64 }

// NewTails sums a histogram: counts[0] is the underflow, counts[j+1] bin j.
func NewTails(counts []uint64) Tails {
	var t Tails
	t.Fill(counts)
	return t
}

// Fill is NewTails into the memory of t.
func (t *Tails) Fill(counts []uint64) {
	if cap(t.C) < len(counts) {
		t.C = make([]uint64, len(counts))
	}
	t.C = t.C[:len(counts)]
	sum := uint64(0)
	for i := len(counts) - 1; i >= 0; i-- {
		sum += counts[i]
		t.C[i] = sum
	}
}

// from counts the hits in bin j or above, j = -1 being all of them. Beyond the histogram there are none.
func (t *Tails) from(j int) uint64 {
	if j+1 < len(t.C) {
		return t.C[j+1]
	}
	return 0
}
