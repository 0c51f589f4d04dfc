package emulator

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// hostCount is how many hosts a stage's requests are spread over: enough to see a change come in steps.
const hostCount = 8

// hosts serve one stage. Each learns of a change at its own time, and none goes back to an older one.
type hosts struct {
	releases atomic.Pointer[[]rollout] // newest first; the last one has reached every host
	cache    atomic.Pointer[cache]

	requests, canaries minutes // how many there were; canaries are among the requests
}

// rollout is one release on its way; at is when each host has it.
type rollout struct {
	release *release
	at      [hostCount]time.Duration
}

func newHosts(r *release) *hosts {
	h := &hosts{}
	h.releases.Store(&[]rollout{{release: r}})
	h.cache.Store(newCache())
	return h
}

// change begins a rollout that reaches its last host after the given time, in an order of its own.
func (h *hosts) change(r *release, over time.Duration, d draw) {
	begin := elapsed()
	next := rollout{release: r}
	order := make([]int, hostCount)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Compare(mix(d.bits(forRollout)+uint64(a)), mix(d.bits(forRollout)+uint64(b)))
	})
	for rank, host := range order {
		next.at[host] = begin + over/hostCount*time.Duration(rank+1)
	}
	list := []rollout{next}
	for _, older := range *h.releases.Load() {
		list = append(list, older)
		if slices.Max(older.at[:]) <= begin {
			break
		}
	}
	if over == 0 {
		list = list[:1]
	}
	h.releases.Store(&list)
}

// serving is what a host has at this moment.
func (h *hosts) serving(host int) *release {
	list := *h.releases.Load()
	if len(list) > 1 {
		at := elapsed()
		for _, r := range list[:len(list)-1] {
			if r.at[host] <= at {
				return r.release
			}
		}
	}
	return list[len(list)-1].release
}

func (h *hosts) count(x *exchange) {
	minute := x.begun.Unix() / 60
	h.requests.count(minute)
	if x.canary {
		h.canaries.count(minute)
	}
}
