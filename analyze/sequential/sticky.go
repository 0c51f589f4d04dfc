package sequential

import (
	"fmt"
	"math"
	"sort"
	"sync"
)

// Sticky is 2.3d where the share is not known to be the configured one: a canary that gets nothing never switches either, and
// is no sticky routing. Its null is "independent routing, at some share": for every share p the mean of two e-processes is
// one, the turns' against p and the share's own, and the least of them over all p is one for the unknown p. Shares are taken
// by cells, each with the turns of its least favourable end and the share's likelihood ratio at its most likely point.
//
// On one connection a lone canary answer makes two switches, so consecutive turns are not independent; every second one is.
// Counted all, healthy routing was called sticky in 1.0 to 1.9 % of runs at shares of 4 % and less, instead of .5 %; counted
// by halves in none of 2,000.
type Sticky struct {
	cells []cell // by lo, from 0 to 1
	share BetaSequence
}

type cell struct {
	lo, hi float64
	turns  func() Turns // built when first asked for: a run needs few of the hundred, and each costs a grid
}

const (
	leastShare = 1e-4 // below it a run holds too few canary answers to say anything of turns
	cellStep   = 1.15
)

// NewSticky lays out the cells.
func NewSticky(l Levels) (Sticky, error) {
	share, err := NewBetaSequence(0.5, 0.5)
	if err != nil {
		return Sticky{}, err
	}
	if err := l.Validate(); err != nil {
		return Sticky{}, fmt.Errorf("sticky: %w", err)
	}
	edges := []float64{0}
	for p := leastShare; p < 0.5; p *= cellStep {
		edges = append(edges, p)
	}
	edges = append(edges, 0.5)
	for i := len(edges) - 2; i >= 0; i-- {
		edges = append(edges, 1-edges[i])
	}
	s := Sticky{share: share}
	for i, lo := range edges[:len(edges)-1] {
		c := cell{lo: lo, hi: edges[i+1], turns: func() Turns { return Turns{} }} // which proves nothing
		if lo > 0 && c.hi < 1 {
			c.turns = sync.OnceValue(func() Turns { return turnsWithin(c.lo, c.hi, l) })
		}
		s.cells = append(s.cells, c)
	}
	return s, nil
}

// Fail is log E against independent routing, after so many turns and canary answers of n. It is exact from log TurnsEvidence up;
// below, an upper bound that is below, too.
func (s Sticky) Fail(switched, same, canary, n uint64) float64 {
	if n == 0 {
		return 0
	}
	canary = min(canary, n)
	seen := float64(canary) / float64(n)
	at := func(c *cell) float64 {
		return logMean(c.turns().Fail(switched/2, same/2), s.share.Log(canary, n, min(max(seen, c.lo), c.hi)))
	}
	here := max(sort.Search(len(s.cells), func(i int) bool { return s.cells[i].hi >= seen }), 0)
	least := at(&s.cells[min(here, len(s.cells)-1)])
	if least < math.Log(TurnsEvidence) {
		return least
	}
	for i := range s.cells {
		least = min(least, at(&s.cells[i]))
	}
	return least
}
