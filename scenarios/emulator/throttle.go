package emulator

import (
	"sync/atomic"
	"time"
)

// bucket is a token bucket without a lock: it keeps the one moment at which it would be full again.
type bucket struct {
	each  time.Duration // one token
	depth time.Duration // half a second's worth, but at least one token: the proportion of API Gateway's own limits (10,000/s, 5,000)
	full  atomic.Int64
}

func newBucket(r Rate) *bucket {
	each := max(time.Duration(float64(time.Second)/float64(r)), 1)
	return &bucket{each: each, depth: max(time.Second/2, each)}
}

func (b *bucket) allow(at time.Duration) bool {
	for {
		full := b.full.Load()
		next := max(full, int64(at)) + int64(b.each)
		if next-int64(at) > int64(b.depth) {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}
