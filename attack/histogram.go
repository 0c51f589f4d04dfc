package attack

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// The bins of every latency histogram: bin 0 holds what is faster than 10 us, bin i what takes at least
// 10 us * e^(0.002 (i-1)), the last one everything from about 60 s up. One bin is 0.2 % wide.
const (
	Bins     = 7805
	firstBin = float64(10 * time.Microsecond)
	logStep  = 0.002
)

// BinStart is the lower edge of a bin in nanoseconds; 0 for bin 0.
func BinStart(bin int) float64 {
	if bin <= 0 {
		return 0
	}
	return firstBin * math.Exp(logStep*float64(bin-1))
}

// binGuess maps the leading bits of a float (9 of its mantissa: steps of at most 0.2 %) to the bin in which
// the first float with these bits lies; the right one is that or the next.
const guessShift = 52 - 9

var (
	binEdges  [Bins + 1]float64
	guessBase = math.Float64bits(firstBin) >> guessShift
	binGuess  []uint16
)

func init() {
	for i := range binEdges {
		binEdges[i] = BinStart(i)
	}
	binEdges[Bins] = math.Inf(1)
	end := math.Float64bits(BinStart(Bins-1))>>guessShift - guessBase
	bin := 0
	for i := uint64(0); i <= end; i++ {
		x := math.Float64frombits((guessBase + i) << guessShift)
		for x >= binEdges[bin+1] {
			bin++
		}
		binGuess = append(binGuess, uint16(bin))
	}
}

// BinOf is the bin that holds d.
func BinOf(d time.Duration) int {
	x := float64(d)
	if x < firstBin {
		return 0
	}
	i := math.Float64bits(x)>>guessShift - guessBase
	if i >= uint64(len(binGuess)) {
		return Bins - 1
	}
	bin := int(binGuess[i])
	for x >= binEdges[bin+1] {
		bin++
	}
	return bin
}

// Bucket is a bin that holds something.
type Bucket struct {
	Bin   int
	Count uint64
}

// Histogram counts durations by bin: sparse, in order of bins. A window holds few distinct bins; whoever adds up
// a run keeps its own dense counts.
type Histogram []Bucket

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) { h.AddBin(BinOf(d), 1) }

// AddBin counts n hits in a bin.
func (h *Histogram) AddBin(bin int, n uint64) {
	if n == 0 {
		return
	}
	if i, found := h.search(0, bin); found {
		(*h)[i].Count += n
	} else {
		*h = slices.Insert(*h, i, Bucket{bin, n})
	}
}

// search finds a bin's bucket at or after from, or where it belongs. It is a quarter of slices.BinarySearchFunc's cost
// here, and the hot loop of reading a run again.
func (h *Histogram) search(from, bin int) (at int, found bool) {
	low, high := from, len(*h)
	for near := min(from+4, high); low < near && (*h)[low].Bin < bin; { // where a merge goes on, mostly
		low++
	}
	for low < high && (*h)[low].Bin < bin {
		if middle := int(uint(low+high) >> 1); (*h)[middle].Bin < bin {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(*h) && (*h)[low].Bin == bin
}

// Merge adds o to h. What h has no bucket for is put in from behind, in one pass.
func (h *Histogram) Merge(o Histogram) {
	missing, at := 0, 0
	for _, b := range o {
		var found bool
		if at, found = h.search(at, b.Bin); found {
			(*h)[at].Count += b.Count
		} else {
			missing++
		}
	}
	if missing == 0 {
		return
	}
	old := len(*h) - 1
	*h = slices.Grow(*h, missing)[:len(*h)+missing]
	for to, from := len(*h)-1, len(o)-1; from >= 0; from-- {
		for old >= 0 && (*h)[old].Bin > o[from].Bin {
			(*h)[to] = (*h)[old]
			to, old = to-1, old-1
		}
		if old < 0 || (*h)[old].Bin < o[from].Bin {
			(*h)[to] = o[from]
			to--
		}
	}
}

// Total is the number of hits counted.
func (h Histogram) Total() (n uint64) {
	for _, b := range h {
		n += b.Count
	}
	return n
}

// Quantile is the upper edge of the bin in which the q-th share (0 to 1) of the hits is reached, 0 of an empty
// histogram. It is at most one bin, 0.2 %, too high.
func (h Histogram) Quantile(q float64) time.Duration {
	total := h.Total()
	if total == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(total))), 1)
	var seen uint64
	for _, b := range h {
		if seen += b.Count; seen >= rank {
			return time.Duration(BinStart(b.Bin + 1))
		}
	}
	return time.Duration(BinStart(h[len(h)-1].Bin + 1))
}

// MarshalText writes base64 of varint pairs (step from the bin before, count).
func (h Histogram) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 4*len(h))
	last := 0
	for _, b := range h {
		raw = binary.AppendUvarint(raw, uint64(b.Bin-last))
		raw = binary.AppendUvarint(raw, b.Count)
		last = b.Bin
	}
	return base64.RawStdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText reads what MarshalText wrote and refuses what it cannot have written: bins out of order or range, empty
// ones, leftovers.
func (h *Histogram) UnmarshalText(text []byte) error {
	raw, err := base64.RawStdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	*h = nil
	if len(raw) > 0 {
		*h = make(Histogram, 0, min(len(raw)/2, Bins)) // a bucket takes two bytes at least
	}
	bin := uint64(0)
	for first := true; len(raw) > 0; first = false {
		step, n := binary.Uvarint(raw)
		if n <= 0 || step >= Bins || (!first && step == 0) {
			return fmt.Errorf("histogram: bad bin step after bin %d", bin)
		}
		raw = raw[n:]
		count, n := binary.Uvarint(raw)
		if n <= 0 || count == 0 || count > math.MaxInt64 {
			return fmt.Errorf("histogram: bad count after bin %d", bin)
		}
		raw = raw[n:]
		if bin += step; bin >= Bins {
			return fmt.Errorf("histogram: bin %d is beyond the last, %d", bin, Bins-1)
		}
		*h = append(*h, Bucket{int(bin), count})
	}
	return nil
}
