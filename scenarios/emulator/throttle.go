package emulator

import (
	"sync/atomic"
	"time"
)

// bucket is a token bucket without a lock: it keeps the one moment at which it would be full again.
type bucket struct {
	rate  float64       // tokens a second
	burst int           // tokens that it holds
	each  time.Duration // one token
	depth time.Duration // all that it holds
	full  atomic.Int64
}

// newBucket makes one that holds half a second's worth, but at least one token: the proportion of API Gateway's own limits
// (10,000/s, 5,000).
func newBucket(r Rate) *bucket { return newBurst(float64(r), max(int(float64(r)/2), 1)) }

func newBurst(rate float64, burst int) *bucket {
	each := time.Duration(min(max(float64(time.Second)/rate, 1), float64(maxWait)))
	depth := time.Duration(min(float64(each)*float64(burst), float64(maxWait)))
	if rate == 0 || burst == 0 {
		depth = 0
	}
	return &bucket{rate: rate, burst: burst, each: each, depth: depth}
}

// maxWait keeps a rate next to nothing, and a burst next to everything, within what a time can hold.
const maxWait = 1 << 53

// wait is how long until the next token, 0 when there is one.
func (b *bucket) wait(at time.Duration) time.Duration {
	return max(0, max(time.Duration(b.full.Load()), at)+b.each-at-b.depth)
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
