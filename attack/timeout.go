package attack

import (
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// timeouts ends hits whose time is up. A deadline set for each hit would cost a microsecond each; here one timer waits
// for the earliest of all, or for the next look. As hits mostly end long before, it fires at most once a lookEvery, looks
// at all connections and waits for what is the earliest then. A hit ends as exactly as with a deadline of its own.
type timeouts struct {
	now   clock
	armed atomic.Bool // a sweep will come, in time for every hit that has begun

	mu  sync.Mutex
	all []*timer
}

// lookEvery is how long a hit may wait before its connection is asked whether it has ended, where it was not asked before.
const lookEvery = 100 * time.Millisecond

// A timer is one connection's.
type timer struct {
	deadline atomic.Int64 // of the hit under way, on the clock
	look     atomic.Int64 // when to ask its connection; noHit: it need not be asked

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

// forget takes back add, for a connection that carries nothing more.
func (t *timeouts) forget(one *timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.all, one); i >= 0 {
		t.all = slices.Delete(t.all, i, i+1)
	}
}

// begin notes a hit that was sent, and that ends when the timeout has passed since.
func (t *timeouts) begin(one *timer, sent, timeout time.Duration, unasked bool) {
	if unasked {
		one.look.Store(int64(sent + lookEvery))
	} else if one.look.Load() != noHit {
		one.look.Store(noHit)
	}
	one.deadline.Store(int64(sent + timeout))
	if !t.armed.Load() && t.armed.CompareAndSwap(false, true) {
		time.AfterFunc(sent+min(timeout, lookEvery)-t.now(), t.sweep)
	}
}

// sweep ends what is overdue, and arms the next sweep if anything is under way: in time for whatever begins meanwhile,
// as all timeouts are of one length.
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

// endOverdue returns when the next sweep is due, which is never if nothing is under way.
func (t *timeouts) endOverdue() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, next := int64(t.now()), int64(math.MaxInt64)
	for _, one := range t.all {
		deadline := one.deadline.Load()
		switch {
		case deadline == noHit || deadline == expired:
		case deadline <= now:
			one.expire(deadline)
		default:
			one.ask(now)
			next = min(next, deadline, now+int64(lookEvery))
		}
	}
	return time.Duration(next)
}

// ask wakes whoever waits for the connection, once a hit, to see for himself whether it has ended.
func (t *timer) ask(now int64) {
	at := t.look.Load()
	if at == noHit || at > now {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.look.CompareAndSwap(at, noHit) && t.conn != nil {
		t.conn.SetReadDeadline(longAgo)
	}
}

// asked says whether it was only that, and lets him wait again.
func (t *timer) asked() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil || t.deadline.Load() == expired {
		return false
	}
	return t.conn.SetReadDeadline(time.Time{}) == nil
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
