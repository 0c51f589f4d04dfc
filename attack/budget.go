package attack

import (
	"math"
	"sync/atomic"
)

// Budget is a number of requests that loads and probes, one after the other, may send together. A request that is
// repeated because the target had closed the connection under it counts once.
type Budget struct {
	limit uint64
	spent atomic.Uint64
}

// NewBudget allows so many requests.
func NewBudget(limit uint64) *Budget { return &Budget{limit: limit} }

// Limit is what was allowed in all.
func (b *Budget) Limit() uint64 { return b.limit }

// Left is what is not yet spent.
func (b *Budget) Left() uint64 { return b.limit - min(b.spent.Load(), b.limit) }

func (b *Budget) spend(n uint64) {
	if b != nil {
		b.spent.Add(n)
	}
}

// Allowed is how many requests the plan may send now.
func (p Plan) Allowed() uint64 {
	allowed := uint64(math.MaxUint64)
	if p.MaxHits > 0 {
		allowed = p.MaxHits
	}
	if p.Budget != nil {
		left := p.Budget.Left()
		allowed = min(allowed, left-min(p.Keep, left))
	}
	return allowed
}
