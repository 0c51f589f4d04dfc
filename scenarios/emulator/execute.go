package emulator

import (
	"context"
	"encoding/json"
	"time"
)

// execute runs a version's package in a process of its own. What the process takes adds to what the faults ask for.
//
// The faults that only a function can have, its own 500s, its marker, a panic, are asked of it in the client context, which
// API Gateway leaves empty on AWS; see faultContext. A package that knows nothing of them still crashes and hangs as it
// should: its process is killed, its answer kept back.
func (v *version) execute(ctx context.Context, x *exchange, f *functionView, qualifier string, event func() Event) (*output, error) {
	how := x.faults.Versions[v.Version]
	fault := how.draw(x.draw)
	delay, full := v.serve(how, x.draw)
	if full && fault == "" {
		fault = faultError
	}
	t := &task{
		id:    x.lambdaID(),
		trace: x.traceID,
		arn:   f.arn,
		limit: time.Duration(v.Timeout) * time.Second,
		done:  make(chan result, 1),
	}
	if qualifier != "" {
		t.arn += ":" + qualifier
	}
	if x.direct != nil {
		t.payload, t.context = x.direct.payload, faultContext(x.direct.context, fault, how.Marker)
	} else {
		t.payload, t.context = encode(event()), faultContext(nil, fault, how.Marker)
	}
	done := make(chan result, 1)
	p, cold, err := f.fleet.take(ctx, v)
	if err != nil {
		return nil, err
	}
	if cold && !x.warm {
		delay += how.ColdStart
	}
	// Also when nobody waits for it any longer: Lambda does not notice that its caller has gone.
	f.fleet.background(func(life context.Context) {
		done <- f.fleet.serve(life, v, p, t, delay, fault, x.direct != nil && x.direct.tail)
	})
	select {
	case out := <-done:
		if x.direct != nil {
			x.direct.log = out.log
		}
		if out.err != nil {
			return nil, out.err
		}
		return &output{out.payload, proxied(out.payload)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve takes a task through a process, or through another where one ended before it could begin.
func (f *fleet) serve(ctx context.Context, v *version, p *process, t *task, delay time.Duration, fault string, tail bool) result {
	t.deadline = time.Now().Add(t.limit)
	if sleep(ctx, min(delay, t.limit)) != nil {
		return result{err: ctx.Err()}
	}
	from := p.printed.position()
	out, taken := p.perform(t)
	for !taken {
		var err error
		if p, _, err = f.take(ctx, v); err != nil {
			return result{err: err}
		}
		from = p.printed.position()
		out, taken = p.perform(t)
	}
	if out.err == nil && fault == faultHang {
		sleep(ctx, time.Until(t.deadline))
		out = p.overdue(t)
	}
	if out.err == nil && fault == faultCrash {
		p.kill()
		<-p.exited
		out = result{err: t.failed("Runtime.ExitError", "Runtime exited with error: %s", p.status)}
	}
	if tail {
		p.printed.flush()
		out.log = p.printed.since(from)
	}
	f.put(v, p)
	return out
}

// background runs what close waits for, and ends.
func (f *fleet) background(do func(ctx context.Context)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.all.Go(func() { do(f.ctx) })
	}
}

const (
	faultError = "error"
	faultCrash = "crash"
	faultHang  = "hang"
)

// draw decides what becomes of one request: "" is nothing in particular.
func (how Version) draw(d draw) string {
	switch fate := Share(d.share(forFailure)); {
	case fate < how.Errors:
		return faultError
	case fate < how.Errors+how.Crashes:
		return faultCrash
	case fate < how.Errors+how.Crashes+how.Hang:
		return faultHang
	}
	return ""
}

// faultContext puts into a client context what is asked of the function: custom.coalmine-fault is error (answer with a 500 of
// your own), crash (panic) or hang (never answer), custom.coalmine-marker is where to name the version.
func faultContext(given []byte, fault string, where Marker) []byte {
	if fault == "" && where == "" {
		return given
	}
	var fields map[string]any
	if json.Unmarshal(given, &fields) != nil || fields == nil {
		fields = map[string]any{}
	}
	custom, _ := fields["custom"].(map[string]any)
	if custom == nil {
		custom = map[string]any{}
	}
	if fault != "" {
		custom["coalmine-fault"] = fault
	}
	if where != "" {
		custom["coalmine-marker"] = string(where)
	}
	fields["custom"] = custom
	return encode(fields)
}
