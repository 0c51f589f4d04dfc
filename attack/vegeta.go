package attack

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// EngineVegeta sends with vegeta's Attacker in place of the engine of this package: slower, and late by its pacer, but
// by somebody else, to compare with.
//
// Hits are counted in the windows they were due in by our pacer; vegeta's own delay is their wake lateness. It does not
// say where an answer broke off: what is truncated is transport here.
const EngineVegeta = "vegeta"

// asVegeta is a pacer as vegeta asks for it.
type asVegeta struct {
	Pacer
	limit uint64
}

func (p asVegeta) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	return max(0, p.Due(hits)-elapsed), hits >= p.limit
}

func (p asVegeta) Rate(elapsed time.Duration) float64 { return p.RateAt(elapsed) }

// vegetaLoop carries an open loop's hits.
func (r *run) vegetaLoop() {
	sleep, end := newSleep(r.ctx)
	defer end()
	for wait := r.begin - r.now(); wait > 0 && r.ctx.Err() == nil; wait = r.begin - r.now() {
		sleep(wait)
	}
	transport := r.client.newTransport(r.plan)
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.MaxWorkers(uint64(r.plan.connections())), vegeta.MaxBody(int64(r.client.keep)), vegeta.Client(&http.Client{
		Transport:     cancelled{transport, r.ctx},
		Timeout:       r.client.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	epoch := time.Now().Add(-r.now())
	for result := range attacker.Attack(r.targeter(), asVegeta{r.queue.pacer, r.queue.limit}, 0, "") {
		if r.ctx.Err() != nil {
			attacker.Stop() // and wait for what is in flight, which is cancelled
			continue
		}
		r.count(result, result.Timestamp.Sub(epoch))
	}
}

// cancelled is a transport whose requests end with a context.
type cancelled struct {
	http.RoundTripper
	ctx context.Context
}

func (c cancelled) RoundTrip(q *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(q.Context())
	context.AfterFunc(c.ctx, cancel) // goes with the run
	response, err := c.RoundTripper.RoundTrip(q.WithContext(ctx))
	if err != nil {
		cancel()
	}
	return response, err
}

// targeter gives vegeta the requests that connections would send.
func (r *run) targeter() vegeta.Targeter {
	requests, n := r.client.source.connection(), uint64(0)
	return func(t *vegeta.Target) error {
		r.queue.mu.Lock()
		defer r.queue.mu.Unlock()
		q, err := r.client.asNetHTTP(r.ctx, requests(n))
		if err != nil {
			return err
		}
		n++
		t.Method, t.URL, t.Header = q.Method, q.URL.String(), q.Header
		t.Header.Set("Host", q.Host)
		t.Body = nil
		if q.Body != nil {
			t.Body = make([]byte, q.ContentLength)
			_, err = q.Body.Read(t.Body)
		}
		r.queue.next = n
		return err
	}
}

// count is what a sender does with a reply.
func (r *run) count(result *vegeta.Result, sent time.Duration) {
	due := r.begin + r.queue.pacer.Due(result.Seq)
	r.tally.sent(due, sent, false)
	reply := reply{status: int(result.Code), body: result.Body, size: int64(result.BytesIn)}
	if result.Code == 0 {
		reply.fail(errors.New(result.Error))
		if strings.Contains(result.Error, "deadline exceeded") || strings.Contains(result.Error, "Timeout") {
			reply.class = Timeout
		}
	}
	o := outcome{number: result.Seq, due: due, sent: sent, answered: sent + result.Latency, class: r.expect.class(&reply),
		status: reply.status, in: reply.size, out: int64(result.BytesOut)}
	if result.Code != 0 && r.plan.Classify != nil {
		header := func(name string) []byte { return []byte(result.Headers.Get(name)) }
		o.version, o.cause = r.plan.Classify(Answer{Status: reply.status, Header: header, Body: result.Body[:min(len(result.Body), classifiedBytes)]})
	}
	if len(o.version) == 0 && o.cause == "" {
		o.cause = Unrecognised
	}
	r.tally.answered(&o)
	if r.finished != nil {
		r.finished(&o)
	}
}
