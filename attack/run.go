// Package attack is the load: a Plan becomes a stream of Windows.
//
//	for window := range attack.Run(ctx, plan) { // load goes out while the loop runs
//		...
//	}
//
// Open loop: a hit is due when the schedule says so, whatever became of those before, and is counted in the window in
// which it was due. A Probe asks whether the target can be reached, Learn which place in its answers names the
// version, and a Classifier reads that place in every answer.
//
// One goroutine carries the hits of one connection, with two system calls and no allocation each
// (TestAHitAllocatesNothing); a timerfd paces them, set ahead by what waking up takes. Measured with
// testdata/peers/peers.sh, which runs all against one nginx on the other of two cores, on a quiet machine (load 0.6 to 1.4, five
// runs): requests per CPU-second in a closed loop 0.88 to 1.25 of wrk's, 1.00 in the median, and 3.2 to 4.1 times vegeta's; over
// TLS 0.91 to 1.22 of wrk's, 1.10 in the median, and 3.0 to 4.2 times vegeta's. Four fifths of that is the kernel's time for
// one write and one read.
//
// Hits go out 16 to 43 us after they are due at 200, 1,000 and 10,000/s in the median, where a bare loop in C around a timerfd is 45
// to 107 us late in the same runs; 0.4 to 1.8 ms at the 99th percentile. Of 40,000/s on one core all are sent, where vegeta sends 42 %. At 5,000/s, of which vegeta sends some at a time and each of
// these goes out on its own, it takes 0.74 to 1.04 of vegeta's CPU time, where a loop in C that does nothing but wait, write and
// read takes 0.64 to 1.0 (testdata/floor.c; six runs): two wake-ups a hit are nearly all of it.
package attack

import (
	"context"
	"iter"
	"sync"
	"time"
)

// closedLoopPause keeps a closed loop from spinning on a target that refuses connections.
const closedLoopPause = 10 * time.Millisecond

// Run sends the load of p while the loop over its windows runs. It starts at the next line of the window grid and
// yields every window from there on in due order, also those in which nothing was due. A reader that is slow delays
// its windows, never the load: they wait in memory, ten a second.
//
// A hit's service time begins when a connection takes it: where that has to be opened first, dialing and the TLS
// handshake are part of it, and of Timeout; how long they took is in Window.Opened, too. Connections are opened before
// the first hit is due, as Plan.Warm says. Redirects are not followed, compression is not asked for, proxies are used
// only where the plan names one.
//
// At the end of the duration it goes on until all windows are sealed, at most Patience; what is then unanswered is
// cancelled and stays pending. When ctx ends everything stops at once, and the windows that have evidence are still
// yielded: hits that were cancelled are pending in them, never errors. Leaving the loop stops everything at once. In
// each case no goroutine and no connection is left when the loop ends.
//
// p must be valid: from here on trouble is data. Run panics where Validate would have said why it cannot work.
func Run(ctx context.Context, p Plan) iter.Seq[Window] {
	if err := p.Validate(); err != nil {
		panic("attack: run of a plan that is not valid: " + err.Error())
	}
	return func(yield func(Window) bool) {
		if p.Allowed() == 0 {
			return
		}
		r := start(ctx, p)
		defer r.settle()
		defer r.stop()
		for more := true; more; {
			select {
			case <-r.tally.signal:
			case <-ctx.Done():
				r.stop()
				r.tally.sealRest()
			}
			var windows []Window
			windows, more = r.tally.sealed()
			for _, w := range windows {
				if !yield(w) {
					return
				}
			}
		}
	}
}

// A run is one load under way: a schedule of hits, connections that carry them, and a tally of what came back.
type run struct {
	plan   Plan
	client *client
	expect expectation
	now    clock
	begin  time.Duration // of the load, on the clock
	tally  *tally

	// finished is told of every hit that was counted, by the goroutine that carried it; nil: nobody is. The outcome and
	// its version are valid during the call only.
	finished func(*outcome)

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	queue // open loop only
}

func start(ctx context.Context, p Plan) *run {
	client, err := newClient(ctx, p)
	if err != nil {
		panic("attack: run of a plan that is not valid: " + err.Error())
	}
	now := client.now
	ctx, cancel := context.WithCancel(ctx)
	warm := client.warmUp(ctx, p.warm())
	// The next line, at the earliest the first.
	begin := max(0, (now()+WindowLength-1)/WindowLength*WindowLength)
	r := &run{plan: p, client: client, expect: p.Expect.parse(), now: now, begin: begin, tally: newTally(p, now, begin)}
	r.ctx, r.cancel = ctx, cancel
	client.count(warm, r.tally.opened)
	if p.Hits != nil {
		r.finished = p.Hits.hear(p, time.Now().Add(-now()))
	}
	if p.Duration > 0 {
		r.tally.end = begin + p.Duration
	}
	r.tally.limit = p.Allowed()
	if p.closedLoop() {
		for i := range p.connections() {
			c := client.given(warm, i)
			r.running.Go(func() { r.closedLoop(c) })
		}
	} else {
		r.openLoop(warm)
	}
	if client.source.changing() {
		r.running.Go(func() { client.source.renew(r.ctx) })
	}
	r.running.Go(func() {
		if r.tally.run(r.ctx) {
			r.interrupt()
		}
		r.cancel() // what is still in flight stays pending
	})
	return r
}

// stop ends everything and returns when it has ended.
func (r *run) stop() {
	r.cancel()
	r.running.Wait()
	if r.client.transport != nil {
		r.client.transport.CloseIdleConnections()
	}
}

// settle charges the budget with what was sent, once the run has ended.
func (r *run) settle() {
	if r.plan.closedLoop() {
		r.plan.Budget.spend(r.tally.taken)
	} else {
		r.plan.Budget.spend(r.queue.next)
	}
}

// interrupt ends the load now: nothing more is sent, and nothing is due that has not been.
func (r *run) interrupt() {
	r.queue.mu.Lock()
	r.queue.limit = 0
	now := r.now()
	r.queue.mu.Unlock()
	r.tally.stop(now + 1)
}

// closedLoop is one connection of a closed loop.
func (r *run) closedLoop(c *connection) {
	defer c.close()
	s := sender{run: r, connection: c}
	wait := r.begin - r.now()
	for {
		if wait > 0 {
			select {
			case <-time.After(wait):
			case <-r.ctx.Done():
			}
		}
		wait = 0
		if r.ctx.Err() != nil {
			return
		}
		number, due, ok := r.tally.take()
		if !ok {
			return
		}
		if s.send(number, due, due) == Transport {
			wait = closedLoopPause
		}
	}
}

// A sender carries hits over one connection.
type sender struct {
	run        *run
	connection *connection
	last       arm // of the connection's answers so far
	outcome    outcome
}

// send carries one hit and counts what became of it. Nothing became of a hit that was cancelled, or that this machine
// could not send: it stays pending, which speaks neither for the target nor against it.
func (s *sender) send(number uint64, due, sent time.Duration) Class {
	r := s.run
	reply := s.connection.do(r.ctx, number, sent)
	if reply.class != "" && r.ctx.Err() != nil {
		return reply.class
	}
	if reply.unsent {
		r.tally.unsent(due)
		return reply.class
	}
	request := s.connection.request
	o := &s.outcome
	*o = outcome{
		number: number, target: request.target, due: due, sent: sent, answered: reply.answered,
		class: r.expect.class(reply), status: reply.status, resent: reply.resent, in: reply.size, out: int64(len(request.wire)),
	}
	o.version, o.cause = s.connection.classify(r.plan.Classify)
	o.turn = s.turn(reply.fresh, o.version)
	if o.class == Wrong && r.tally.wantsExample() {
		o.example = r.expect.example(reply, r.client.source.hidden())
	}
	if o.id = request.id; len(o.version) == 0 && s.connection.identified {
		o.id = s.connection.requestID()
	}
	r.tally.answered(o)
	if r.finished != nil {
		r.finished(o)
	}
	return o.class
}

type arm int8

const (
	armNone arm = iota
	armBaseline
	armCanary
)

type turn int8

const (
	turnNone turn = iota
	turnSame
	turnSwitched
)

// turn compares an answer of baseline or canary with the one before on the same connection. Answers that name
// neither do not count, and do not separate.
func (s *sender) turn(fresh bool, version []byte) turn {
	p := &s.run.plan
	if p.Baseline == "" || p.Canary == "" {
		return turnNone
	}
	last := s.last
	if fresh {
		last = armNone
	}
	now := armNone
	switch string(version) {
	case p.Baseline:
		now = armBaseline
	case p.Canary:
		now = armCanary
	}
	switch {
	case now == armNone:
		s.last = last
		return turnNone
	case last == armNone:
		s.last = now
		return turnNone
	case last == now:
		return turnSame
	}
	s.last = now
	return turnSwitched
}
