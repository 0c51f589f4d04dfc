package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// Handler is a function's code. It must return when the context ends. An error is an unhandled one: the gateway's 502.
type Handler func(ctx context.Context, in Invocation) (json.RawMessage, error)

// Invocation is what the Lambda runtime tells a handler.
type Invocation struct {
	Version   string // AWS_LAMBDA_FUNCTION_VERSION: "2" or "$LATEST"
	Qualifier string // the alias or version that was asked for
	Event     Event
	Fail      bool   // answer with a 500 of your own: Version.Errors says so
	Marker    Marker // where to name the version
}

// environments run one version. Each takes one request at a time; there are never more idle ones than there were requests at once.
type environments struct {
	idle atomic.Int64
	line line
}

// take finds an idle environment; if there is none, one has to be started.
func (e *environments) take() (cold bool) {
	for {
		n := e.idle.Load()
		if n == 0 {
			return true
		}
		if e.idle.CompareAndSwap(n, n-1) {
			return false
		}
	}
}

func (e *environments) put() { e.idle.Add(1) }

// rest keeps the environment of a request for the next one; provisioned ones are not counted here.
func (v *version) rest(x *exchange) {
	if !x.warm {
		v.environments.put()
	}
}

// output is what a function returned, and what the gateway makes of it.
type output struct {
	payload json.RawMessage
	reply   reply
}

var errCrash = errors.New("runtime exited with error: exit status 2")

// run executes the handler with the version's faults. An environment that crashed or hung is lost, and costs a cold start later.
func (v *version) run(ctx context.Context, x *exchange, f *functionView, qualifier string, event func() Event) (out *output, err error) {
	if f.fleet != nil && f.handler == nil {
		return v.execute(ctx, x, f, qualifier, event)
	}
	how := x.faults.Versions[v.Version]
	var wait time.Duration
	if !x.warm && v.environments.take() {
		wait = how.ColdStart
	}
	work, full := v.serve(how, x.draw)
	wait += work
	fault := how.draw(x.draw)
	if full && fault == "" {
		fault = faultError
	}
	if fault == faultHang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := sleep(ctx, wait); err != nil {
		v.rest(x)
		return nil, err
	}
	if fault == faultCrash {
		return nil, errCrash
	}
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("%v", r)
			return
		}
		v.rest(x)
	}()
	in := Invocation{Version: v.Version, Qualifier: qualifier, Fail: fault == faultError, Marker: how.Marker}
	if f.handler == nil {
		return getProducts(in), nil
	}
	in.Event = event()
	payload, err := f.handler(ctx, in)
	if err != nil {
		return nil, err
	}
	return &output{payload, proxied(payload)}, nil
}

// serve is how long a request takes from now, waiting included, and whether there is no room for it.
func (v *version) serve(how Version, d draw) (takes time.Duration, full bool) {
	work := how.Latency.sample(d)
	if how.Service.Servers == 0 {
		return work, false
	}
	now := elapsed()
	done, room := v.environments.line.join(how.Service, now, work)
	return done - now, !room
}

func (l Latency) mean() time.Duration {
	return time.Duration(min(float64(l.Median)*math.Exp(l.Sigma*l.Sigma/2), float64(time.Hour)))
}

func (l Latency) sample(d draw) time.Duration {
	if l.Median == 0 || l.Sigma == 0 {
		return l.Median
	}
	return time.Duration(min(float64(l.Median)*math.Exp(l.Sigma*d.normal(forLatency)), float64(time.Hour)))
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
