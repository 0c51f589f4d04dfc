package attack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	MaxProbes     = 50 // the most requests that a probe sends
	probesAtATime = 4
)

// Sample is what a probe brought back.
type Sample struct {
	Answers []Probed
}

// Probed is one answer of a probe. It holds what the target said as it said it: not for a file.
type Probed struct {
	Status  int // 0: no answer
	Header  http.Header
	Body    []byte // its first 64 KiB
	Version string
	Cause   Cause
	Class   Class
	Latency time.Duration // from sent to answered
	own     own
	Trouble string // why there is no whole answer; "" where there is one
}

// Probe sends n requests, at most 50, a few at a time. It fails if nothing answers the first few, and then sends no
// more.
func Probe(ctx context.Context, p Plan, n int) (Sample, error) {
	if err := p.Validate(); err != nil {
		return Sample{}, err
	}
	client, err := newClient(ctx, p)
	if err == nil {
		err = client.source.now.Load().unsigned
	}
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w", p.place(), err)
	}
	n = min(n, MaxProbes)
	if allowed := p.Allowed(); allowed < uint64(n) {
		n = int(allowed)
	}
	if n == 0 && p.Budget != nil {
		return Sample{}, fmt.Errorf("%s: no request is left of the %d allowed", p.place(), p.Budget.Limit())
	}
	var connections [probesAtATime]*connection
	for i := range connections {
		connections[i] = client.connection()
		defer connections[i].close()
	}
	expect := p.Expect.parse()
	var sample Sample
	for left := n; left > 0; {
		batch := make([]Probed, min(left, probesAtATime))
		p.Budget.spend(uint64(len(batch)))
		var probing sync.WaitGroup
		for i := range batch {
			probing.Go(func() { batch[i] = connections[i].probe(ctx, uint64(n-left+i), &expect, p.Classify) })
		}
		probing.Wait()
		if err := context.Cause(ctx); err != nil {
			return sample, fmt.Errorf("%s: %w", p.place(), err)
		}
		sample.Answers = append(sample.Answers, batch...)
		if err := reachable(sample.Answers); err != nil {
			return sample, fmt.Errorf("%s: %w", p.place(), err)
		}
		left -= len(batch)
	}
	return sample, nil
}

// reachable fails if nothing has answered.
func reachable(answers []Probed) error {
	for _, a := range answers {
		if a.Status != 0 {
			return nil
		}
	}
	return errors.New(answers[0].Trouble)
}

func (c *connection) probe(ctx context.Context, n uint64, expect *expectation, classifier Classifier) Probed {
	sent := c.now()
	r := c.do(ctx, n, sent)
	got := Probed{Status: r.status, Header: c.parser.header(), Class: expect.class(r), Latency: r.answered - sent, own: c.source.hidden()}
	got.Body = bytes.Clone(r.body[:min(len(r.body), classifiedBytes)])
	if r.err != nil {
		got.Trouble = plainError(r.err)
	}
	version, cause := c.classify(classifier)
	switch {
	case len(version) == 0:
		got.Cause = firstCause(got.Class, cause)
	case !nameable(version):
		got.Cause = firstCause(got.Class, Unrecognised)
	default:
		got.Version = string(version)
	}
	return got
}
