package attack

import (
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// timeouts ends hits whose time is up. A deadline set for each hit would cost a microsecond each; here one timer waits
// for the earliest of all. As hits mostly end long before, it fires about once a timeout, looks at all connections and
// waits for what is the earliest then. A hit ends as exactly as with a deadline of its own.
type timeouts struct {
	now   clock
	armed atomic.Bool // a sweep will come, in time for every hit that has begun

	mu  sync.Mutex
	all []*timer
}

// A timer is one connection's.
type timer struct {
	deadline atomic.Int64 // of the hit under way, on the clock

	mu   sync.Mutex
	conn net.Conn // nil: none
}

// What a deadline is where it is none.
const (
	noHit   = math.MinInt64     // under way
	expired = math.MinInt64 + 1 // and what was under way is being ended
)

func (t *timeouts) add(one *timer) {
	one.deadline.Store(noHit)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, one)
}

func (t *timeouts) begin(one *timer, deadline time.Duration) {
	one.deadline.Store(int64(deadline))
	if !t.armed.Load() && t.armed.CompareAndSwap(false, true) {
		time.AfterFunc(deadline-t.now(), t.sweep)
	}
}

// sweep ends what is overdue, and arms the next sweep if anything is under way. All timeouts are of one length: what
// begins after a sweep is armed is due after it.
func (t *timeouts) sweep() {
	next := t.endOverdue()
	if next == math.MaxInt64 {
		t.armed.Store(false)
		// What began before it could see that needs a sweep, too.
		if next = t.endOverdue(); next == math.MaxInt64 || !t.armed.CompareAndSwap(false, true) {
			return
		}
	}
	time.AfterFunc(next-t.now(), t.sweep)
}

// endOverdue returns the earliest deadline of those under way.
func (t *timeouts) endOverdue() time.Duration {
	t.mu.Lock()
	all := t.all
	t.mu.Unlock()
	now, next := int64(t.now()), int64(math.MaxInt64)
	for _, one := range all {
		deadline := one.deadline.Load()
		switch {
		case deadline == noHit || deadline == expired:
		case deadline <= now:
			one.expire(deadline)
		default:
			next = min(next, deadline)
		}
	}
	return time.Duration(next)
}

var longAgo = time.Unix(1, 0)

// expire lets whoever waits for the connection fail with a timeout, unless the hit has ended meanwhile. A connection
// that is being opened ends by itself.
func (t *timer) expire(deadline int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deadline.CompareAndSwap(deadline, expired) && t.conn != nil {
		t.conn.SetDeadline(longAgo)
	}
}

// watch names the connection, nil before it is closed.
func (t *timer) watch(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn = conn
	if conn != nil && t.deadline.Load() == expired {
		conn.SetDeadline(longAgo)
	}
}

// end says whether the hit's time was up. Then its connection is of no more use.
func (t *timer) end() (timedOut bool) { return t.deadline.Swap(noHit) == expired }
