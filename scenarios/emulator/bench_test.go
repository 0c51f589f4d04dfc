package emulator

import (
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
)

// discard is a ResponseWriter that costs nothing, so that BenchmarkGateway is the gateway alone. A refusal would be cheaper.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(status int) {
	if status != http.StatusOK {
		panic(status)
	}
}

func BenchmarkGateway(b *testing.B) { benchGateway(b, benchStack(b)) }

// BenchmarkAccessLog is BenchmarkGateway on a stage that logs: what one event of 19 fields, half of them twice, costs.
func BenchmarkAccessLog(b *testing.B) {
	s := benchStack(b)
	s.logAccess("prod", "access")
	benchGateway(b, s)
}

func benchGateway(b *testing.B, s *stack) {
	r := httptest.NewRequest("GET", "/restapis/"+s.api+"/prod/_user_request_/products", nil)
	r.RequestURI = ""
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.server.ServeHTTP(discard{http.Header{}}, r)
		}
	})
}

// BenchmarkLoopback goes over TCP; cpu-us/op is the processor time of client and server together.
func BenchmarkLoopback(b *testing.B) {
	s := benchStack(b)
	url := s.server.URL() + "/restapis/" + s.api + "/prod/_user_request_/products"
	before := cpu()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := s.client.Get(url)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
	})
	b.ReportMetric(float64(cpu()-before)/1e3/float64(b.N), "cpu-us/op")
}

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func benchStack(b *testing.B) *stack {
	s := startStack(b, Faults{Seed: 1, Gateway: Gateway{AccountRate: 1e9}})
	s.canary("50.0")
	return s
}
