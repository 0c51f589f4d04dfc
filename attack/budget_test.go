package attack

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// Whatever ends a load or a probe, together they send what was allowed, and not one more.
func TestBudget(t *testing.T) {
	for name, closed := range map[string]bool{"open loop": false, "closed loop": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var served atomic.Uint64
			s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
			defer s.Close()
			p := Plan{Target: target(s.URL), Budget: NewBudget(300), Connections: 4}
			if !closed {
				p.Rate = perSecond(400)
			}
			if _, err := Probe(t.Context(), p, 10); err != nil || p.Budget.Left() != 290 {
				t.Fatalf("probe: %v, %d left of 300, want 290", err, p.Budget.Left())
			}
			p.Keep = 100
			for range Run(t.Context(), p) {
				break // a verdict: what was sent until then is spent, seen in a window or not
			}
			left := p.Budget.Left()
			if got := served.Load(); got+left > 300 || left < 100 || left > 289 {
				t.Errorf("%d served, %d left of 300: what was sent is not spent", got, left)
			}
			var due uint64
			for w := range Run(t.Context(), p) {
				due += w.Due
			}
			if due != left-100 || p.Budget.Left() != 100 {
				t.Errorf("%d due of %d allowed, %d kept of 100", due, left-100, p.Budget.Left())
			}
			for range Run(t.Context(), p) {
				t.Error("a load on what is to be kept")
			}
			p.Keep = 0
			p.Duration = time.Minute
			for range Run(t.Context(), p) {
			}
			got := served.Load() // a request that was broken off on each connection may never have left
			if p.Budget.Left() != 0 || got > 300 || got < 300-4 {
				t.Errorf("%d served, %d left; want all 300 and none", got, p.Budget.Left())
			}
			for range Run(t.Context(), p) {
				t.Error("a load on no budget")
			}
			if _, err := Probe(t.Context(), p, 5); err == nil || served.Load() != got {
				t.Errorf("a probe on no budget: %v, %d served", err, served.Load())
			}
		})
	}
}
