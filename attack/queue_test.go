package attack

import (
	"testing"
	"time"
)

// What a stall opened is closed when it has been idle for long, the least used first, but for those that were opened before
// the load.
func TestSurplusConnectionsClose(t *testing.T) {
	q := queue{warm: 2, workers: 5}
	workers := make([]*worker, q.workers)
	back := func(w *worker, at time.Duration) { q.again(w, func() time.Duration { return at }) }
	for i := range workers {
		workers[i] = newWorker(nil)
		back(workers[i], time.Duration(i)*time.Second)
	}
	busy := workers[4]
	for at := 5 * time.Second; at < 2*time.Minute; at += time.Second {
		q.idle = q.idle[:len(q.idle)-1] // it takes the next hit
		back(busy, at)
		want := 5
		switch {
		case at > surplus+2*time.Second:
			want = 2
		case at > surplus+time.Second:
			want = 3
		case at > surplus:
			want = 4
		}
		if q.workers != want || len(q.idle) != want {
			t.Fatalf("%d connections, %d of them idle, at %s: want %d", q.workers, len(q.idle), at, want)
		}
	}
	for i, w := range workers {
		select {
		case <-w.hits:
			if i > 2 {
				t.Errorf("connection %d was closed", i)
			}
		default:
			if i < 3 {
				t.Errorf("connection %d was not closed", i)
			}
		}
	}
}

// A connection that is closed because nobody needs it is not remembered, or a load would grow with every stall.
func TestClosedConnectionsAreForgotten(t *testing.T) {
	r := &run{client: &client{source: &source{}}, now: func() time.Duration { return 0 }, ctx: t.Context()}
	for range 3 {
		w := newWorker(r.client.connection())
		close(w.hits)
		r.work(w)
	}
	if n := len(r.client.timeouts.all); n != 0 {
		t.Errorf("%d of 3 connections that are gone are remembered", n)
	}
}
