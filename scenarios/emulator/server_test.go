package emulator

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:0", "[::]:0", "127.0.0.1", ""} {
		if s, err := Start(addr, Faults{}); err == nil {
			s.Close()
			t.Errorf("%q was taken", addr)
		}
	}
	s, err := Start("localhost:0", Faults{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.URL(), "http://127.0.0.1:") && !strings.HasPrefix(s.URL(), "http://[::1]:") {
		t.Errorf("URL %s", s.URL())
	}
	s.Close()
	if err := s.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// TestCloseEndsEverything: requests that would hang for 29 s end with the server, and leave no goroutine.
func TestCloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	s := startStack(t, Faults{Versions: map[string]Version{"1": {Hang: 1}, "2": {Latency: Latency{Median: time.Minute}}}})
	const n = 20
	ended := make(chan error, n)
	for i := range n {
		go func() {
			r, err := s.client.Get(s.server.URL() + "/restapis/" + s.api + "/" + []string{"prod", "staging"}[i%2] + "/_user_request_/products")
			if err == nil {
				r.Body.Close()
			}
			ended <- err
		}()
	}
	time.Sleep(100 * time.Millisecond)
	begun := time.Now()
	if err := s.server.Close(); err != nil {
		t.Error(err)
	}
	for range n {
		if err := <-ended; err == nil {
			t.Error("a hanging request was answered")
		}
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("close took %v", took)
	}
	s.client.CloseIdleConnections()
	settles(t, before)
}

// TestDisconnectEndsHang: a client that gives up frees what it held.
func TestDisconnectEndsHang(t *testing.T) {
	s := startStack(t, Faults{Versions: map[string]Version{"1": {Hang: 1}}})
	s.client.CloseIdleConnections()
	before := runtime.NumGoroutine()
	for range 5 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		r, _ := http.NewRequestWithContext(ctx, "GET", s.server.URL()+"/restapis/"+s.api+"/prod/_user_request_/products", nil)
		if _, err := s.client.Do(r); err == nil {
			t.Error("a hanging request was answered")
		}
		cancel()
	}
	settles(t, before)
}

func settles(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestFreshIDs: two emulators of one seed split alike, but an API of the one is never an API of the other.
func TestFreshIDs(t *testing.T) {
	if a, b := startStack(t, Faults{Seed: 1}), startStack(t, Faults{Seed: 1}); a.api == b.api || a.deployed == b.deployed {
		t.Errorf("API %s and %s, deployment %s and %s", a.api, b.api, a.deployed, b.deployed)
	}
}
