package emulator

import (
	"fmt"
	"sync"
	"time"
)

// Service makes a version's capacity finite, and known: so many servers, each of which takes one request for as long as
// latency says; the others wait in line. It carries servers / mean latency requests per second, the mean of a lognormal
// latency being its median x exp(sigma^2/2). It is an account of times, not of sleeping goroutines: what is added to a
// request is exactly what the model says, however late the machine is.
type Service struct {
	Servers int `yaml:"servers"` // requests under way at once, such as connections to a database; 0: no limit
	Queue   int `yaml:"queue"`   // requests that may wait for a server; the others get a 500 of the function's own, at once; 0: any number
}

// Capacity is what a version carries, requests per second, 0 without a limit.
func (v Version) Capacity() float64 {
	mean := v.Latency.mean().Seconds()
	if v.Service.Servers == 0 || mean == 0 {
		return 0
	}
	return float64(v.Service.Servers) / mean
}

func (s Service) validate(l Latency) error {
	switch {
	case s.Servers < 0 || s.Servers > 1e5:
		return fmt.Errorf("servers: %d is not from 0 to 100000", s.Servers)
	case s.Queue < 0:
		return fmt.Errorf("queue: %d is negative", s.Queue)
	case s.Queue > 0 && s.Servers == 0:
		return fmt.Errorf("queue: %d may wait for servers of which there are any number: want servers, too", s.Queue)
	case s.Servers > 0 && l.Median == 0:
		return fmt.Errorf("servers: %d that take no time carry everything: want latency, too", s.Servers)
	}
	return nil
}

// line is a version's servers and who waits for them, on the clock of elapsed.
type line struct {
	mu      sync.Mutex
	free    []time.Duration // a heap: when each server is free
	waiting []time.Duration // when those who wait will begin, in order: first come, first served
}

// join finds out when a request that comes now and takes so long will be done, and whether there is room for it at all.
func (l *line) join(s Service, now, takes time.Duration) (done time.Duration, room bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) != s.Servers { // the faults have changed
		l.free, l.waiting = make([]time.Duration, s.Servers), nil
	}
	for len(l.waiting) > 0 && l.waiting[0] <= now {
		l.waiting = l.waiting[1:]
	}
	begin := max(l.free[0], now)
	if begin > now {
		if s.Queue > 0 && len(l.waiting) >= s.Queue {
			return now, false
		}
		l.waiting = append(l.waiting, begin)
	}
	l.free[0] = begin + takes
	l.sink()
	return begin + takes, true
}

// sink puts the server that was taken where it belongs in the heap.
func (l *line) sink() {
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(l.free); c++ {
			if l.free[c] < l.free[least] {
				least = c
			}
		}
		if least == i {
			return
		}
		l.free[i], l.free[least] = l.free[least], l.free[i]
		i = least
	}
}
