package attack

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"time"
)

// frugal answers every request of one size, and allocates nothing.
func frugal(t testing.TB, secure bool) (url string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url = "http://" + listener.Addr().String() + "/products"
	if secure {
		s := httptest.NewUnstartedServer(nil) // for its certificate
		s.StartTLS()
		config := s.TLS.Clone()
		s.Close()
		config.NextProtos = nil
		listener = tls.NewListener(listener, config)
		url = "https" + url[len("http"):]
	}
	t.Cleanup(func() { listener.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 23 Nov 2026 12:30:36 GMT\r\nContent-Type: application/json\r\nContent-Length: 23\r\n" +
		"Connection: keep-alive\r\nX-Lambda-Version: 1\r\n\r\n{\"products\":[{\"id\":1}]}")
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				request := make([]byte, 4096)
				for {
					if n, err := conn.Read(request); err != nil || n == len(request) {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return url
}

// A hit allocates nothing once its connection is open and its window has seen its like: neither sending, reading,
// classifying, timing nor counting.
func TestAHitAllocatesNothing(t *testing.T) {
	for _, ids := range []bool{false, true} {
		p := Plan{Target: target(frugal(t, false)), Rate: perSecond(10), Classify: byHeader(t), Baseline: "1", Canary: "2", RequestIDs: ids}
		client, err := newClient(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		r := &run{plan: p, client: client, expect: p.Expect.parse(), now: client.now, ctx: t.Context()}
		r.tally = newTally(p, r.now, 0)
		r.tally.due = Schedule{p.Rate}.DueBefore
		c := client.connection()
		s := sender{run: r, connection: c}
		n := uint64(0)
		hit := func() {
			sent := r.now()
			r.tally.sent(0, sent, false)
			if class := s.send(n, 0, sent); class != "" {
				t.Errorf("hit %d: %s", n, class)
			}
			n++
		}
		for range 500 { // the histograms grow
			hit()
		}
		if allocations := testing.AllocsPerRun(1000, hit); allocations != 0 {
			t.Errorf("ids %v: %v allocations a hit", ids, allocations)
		}
		c.close()
	}
}

// How many hits a second, with the server that answers them in the same process: half of what is measured is its.
func BenchmarkHit(b *testing.B) {
	for _, c := range []struct {
		name   string
		secure bool
		change func(*Plan)
	}{
		{"plain", false, func(*Plan) {}},
		{"ids", false, func(p *Plan) { p.RequestIDs = true }},
		{"TLS", true, func(p *Plan) { p.Insecure = true }},
		{"open loop", false, func(p *Plan) { p.Rate = perSecond(1_000_000) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := Plan{Target: target(frugal(b, c.secure)), MaxHits: uint64(b.N), Connections: 64, Classify: byHeader(b), Baseline: "1", Canary: "2", Timeout: time.Minute}
			c.change(&p)
			b.ReportAllocs()
			n := uint64(0)
			for w := range Run(b.Context(), p) {
				n += w.Hits
			}
			if n != uint64(b.N) {
				b.Fatalf("%d hits of %d", n, b.N)
			}
		})
	}
}
