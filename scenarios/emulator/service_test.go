package emulator

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A line carries servers / mean, and no more: beyond it requests wait longer and longer, or are turned away.
func TestLineCarriesItsCapacity(t *testing.T) {
	v := Version{Latency: Latency{Median: 20 * time.Millisecond, Sigma: 0.5}, Service: Service{Servers: 16}}
	if got, want := v.Capacity(), 16/(0.020*math.Exp(0.125)); math.Abs(got/want-1) > 1e-6 {
		t.Fatalf("capacity %v, want %v", got, want)
	}
	for _, c := range []struct {
		load, queue, rejected float64 // load and rejected as shares of the capacity
		longest               time.Duration
	}{{0.9, 0, 0, 300 * time.Millisecond}, {1.2, 0, 0, 20 * time.Second}, {1.25, 100, 0.2, 400 * time.Millisecond}} {
		var l line
		s := v.Service
		s.Queue = int(c.queue)
		rng := rand.New(rand.NewPCG(1, 2))
		var at, most time.Duration
		rejected, n := 0, 50_000
		for range n {
			at += time.Duration(float64(time.Second) / (c.load * v.Capacity()))
			takes := time.Duration(float64(v.Latency.Median) * math.Exp(v.Latency.Sigma*rng.NormFloat64()))
			done, room := l.join(s, at, takes)
			if !room {
				rejected++
				continue
			}
			most = max(most, done-at)
		}
		if share := float64(rejected) / float64(n); math.Abs(share-c.rejected) > 0.01 {
			t.Errorf("at %v of the capacity %.3f are turned away, want %v", c.load, share, c.rejected)
		}
		if c.load > 1 && c.queue == 0 != (most > 5*time.Second) || most > c.longest {
			t.Errorf("at %v of the capacity the longest takes %s, want at most %s", c.load, most, c.longest)
		}
	}
}

func TestServiceRefusesWhatCannotBe(t *testing.T) {
	l := Latency{Median: time.Millisecond}
	for want, v := range map[string]Version{
		"service.servers: -1 is not":       {Service: Service{Servers: -1}, Latency: l},
		"service.queue: -1 is negative":    {Service: Service{Servers: 1, Queue: -1}, Latency: l},
		"service.queue: 5 may wait":        {Service: Service{Queue: 5}, Latency: l},
		"service.servers: 3 that take no ": {Service: Service{Servers: 3}},
	} {
		if err := v.validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if c := (Version{Latency: l}).Capacity(); c != 0 {
		t.Errorf("without a limit it carries %v", c)
	}
}
