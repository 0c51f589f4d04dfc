package attack

import (
	"math"
	"slices"
	"sync"
	"time"
)

// forever is a wait that only a worker's return ends.
const forever = time.Duration(math.MaxInt64)

// surplus is how long a connection lies idle until it is closed: a stall opens many that nobody needs afterwards.
const surplus = 30 * time.Second

// queue decides which hit of an open loop goes out next, when, and over which connection. Hits go out in the order
// of their due times, so that those waiting are nothing but a range of numbers.
type queue struct {
	pacer       Pacer
	random      bool // hits may be due together
	connections int
	begin       time.Duration // of the load, on the clock
	kick        chan struct{} // to the dispatcher: a worker is idle again

	mu      sync.Mutex
	next    uint64        // the hit to be sent next
	due     time.Duration // it, from begin on
	limit   uint64        // no hit from here on
	pace    catchUp
	idle    []*worker // the last one idle is the first one used: few connections, and warm ones
	workers int
	warm    int  // as many are kept, however idle
	waiting bool // the dispatcher waits for a worker

	// blocked: hits wait, or waited and are now spread, because every connection was busy. It lasts until no hit
	// waits any more. Their lateness is the target's doing; all other lateness is ours.
	blocked bool
}

// A hit is due, and goes out.
type hit struct {
	number  uint64 // of the load, from 0
	due     time.Duration
	blocked bool
}

// A worker is an open connection, or one about to be, and whoever waits for its answer.
type worker struct {
	connection *connection
	hits       chan hit      // closed: there is nothing more for it
	idle       time.Duration // since, on the clock
}

func newWorker(c *connection) *worker { return &worker{connection: c, hits: make(chan hit, 1)} }

// openLoop prepares the queue and starts the dispatcher.
func (r *run) openLoop(warm []*connection) {
	q := &r.queue
	q.pacer = r.plan.pacer()
	_, q.random = q.pacer.(*poisson)
	q.begin, q.due = r.begin, q.pacer.Due(0)
	q.connections = r.plan.connections()
	q.pace = newCatchUp(q.pacer.RateAt(0), r.plan.MaxRate)
	q.kick = make(chan struct{}, 1)
	q.limit = math.MaxUint64
	if r.plan.Duration > 0 {
		q.limit = q.pacer.DueBefore(r.plan.Duration)
	}
	if n := r.tally.limit; n < math.MaxUint64 && n <= q.limit {
		q.limit = n
		r.tally.end = r.begin + q.pacer.Due(n-1) + 1
	}
	r.tally.due = func(t time.Duration) uint64 { return q.pacer.DueBefore(t - r.begin) }
	if r.plan.Engine == EngineVegeta {
		r.running.Go(r.vegetaLoop)
		return
	}
	for _, c := range warm {
		w := newWorker(c)
		q.idle = append(q.idle, w)
		r.running.Go(func() { r.work(w) })
	}
	q.workers, q.warm = len(warm), len(warm)
	r.running.Go(r.dispatch)
}

// dispatch sends hits when they are due. Its schedule is absolute: a late wake-up delays hits, never the schedule.
func (r *run) dispatch() {
	sleep, end := newSleep(r.ctx)
	defer end()
	var ahead lead
	for r.ctx.Err() == nil {
		wait, more := r.dispatchDue()
		switch {
		case !more:
			return
		case wait < forever:
			ahead.sleep(wait, sleep, r.now)
		default:
			select {
			case <-r.queue.kick:
			case <-r.ctx.Done():
			}
		}
	}
}

// dispatchDue sends what may be sent now and says how long to wait until more may.
func (r *run) dispatchDue() (wait time.Duration, more bool) {
	q := &r.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.next < q.limit {
		h, wait := q.ready(r.now())
		if wait > 0 {
			return wait, true
		}
		switch {
		case len(q.idle) > 0:
			w := q.idle[len(q.idle)-1]
			q.idle = q.idle[:len(q.idle)-1]
			h.blocked = q.take(r.now())
			w.hits <- h
		case q.workers < q.connections:
			q.workers++
			h.blocked = q.take(r.now())
			w := newWorker(r.client.connection())
			w.hits <- h
			r.running.Go(func() { r.work(w) })
		default:
			q.blocked, q.waiting = true, true
			return forever, true
		}
	}
	return 0, false
}

// ready says how long to wait until the next hit may go out: until it is due, and not too soon after the one before.
func (q *queue) ready(now time.Duration) (h hit, wait time.Duration) {
	h.number, h.due = q.next, q.begin+q.due
	if h.due > now {
		q.blocked = false
		return h, h.due - now
	}
	if q.random && now-h.due < catchUpSlack {
		return h, 0 // no stall
	}
	return h, max(0, q.pace.free()-now)
}

// take commits to the next hit and says whether it was blocked.
func (q *queue) take(now time.Duration) (blocked bool) {
	q.pace.follow(q.pacer.RateAt(q.due))
	q.pace.take(now)
	q.next++
	q.due = q.pacer.Due(q.next)
	return q.blocked
}

// again gives a worker that is done the next hit if one waits, and else puts it among the idle.
func (q *queue) again(w *worker, now clock) (hit, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := now()
	if q.next < q.limit {
		h, wait := q.ready(t)
		if h.due <= t && len(q.idle) == 0 && q.workers == q.connections {
			q.blocked = true
		}
		if wait == 0 {
			h.blocked = q.take(t)
			return h, true
		}
	}
	w.idle = t
	q.idle = append(q.idle, w)
	if least := q.idle[0]; t-least.idle > surplus && q.workers > q.warm {
		q.idle = slices.Delete(q.idle, 0, 1)
		q.workers--
		close(least.hits)
	}
	if q.waiting {
		q.waiting = false
		notify(q.kick)
	}
	return hit{}, false
}

// work carries hits over one connection until the run ends.
func (r *run) work(w *worker) {
	defer w.connection.close()
	s := sender{run: r, connection: w.connection}
	for {
		select {
		case h, more := <-w.hits:
			if !more {
				r.client.timeouts.forget(&w.connection.timer)
				return
			}
			for ; more && r.ctx.Err() == nil; h, more = r.queue.again(w, r.now) {
				sent := r.now()
				r.tally.sent(h.due, sent, h.blocked)
				s.send(h.number, h.due, sent)
			}
		case <-r.ctx.Done():
			return
		}
	}
}
