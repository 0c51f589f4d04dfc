package attack

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// MaxProbes is the most requests that a probe sends.
const MaxProbes = 50

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
	Trouble string        // why there is no whole answer; "" where there is one
}

// Probe sends n requests, at most 50, a few at a time.
func Probe(ctx context.Context, p Plan, n int) (Sample, error) {
	return Sample{}, errors.New("not yet")
}
