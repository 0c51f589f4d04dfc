package attack

import (
	"bufio"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Tests wait for their loads rather than work, so more of them go at once than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(8, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// versions answers v1 and v2 in turn, with the version in a header.
func versions(t testing.TB) *httptest.Server {
	var n atomic.Uint64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Lambda-Version", []string{"1", "2"}[n.Add(1)%2])
		w.Write([]byte(`{"products":[{"id":1}]}`))
	}))
	t.Cleanup(s.Close)
	return s
}

// raw is a TCP server that answers each request, headers read, as told: in bytes, and by closing or not.
type raw struct {
	url    string
	conns  atomic.Int64 // accepted
	answer func(conn net.Conn, nth int)
	mu     sync.Mutex
	open   []net.Conn
}

// rawServer calls answer for the nth request (from 0) on each connection.
func rawServer(t testing.TB, answer func(conn net.Conn, nth int)) *raw {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &raw{url: "http://" + listener.Addr().String() + "/products", answer: answer}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			s.mu.Lock()
			s.open = append(s.open, conn)
			s.mu.Unlock()
			serving.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for _, conn := range s.open {
			conn.Close()
		}
		s.mu.Unlock()
		serving.Wait()
	})
	return s
}

func (s *raw) serve(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for nth := 0; ; nth++ {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		s.answer(conn, nth)
	}
}

// says answers every request with the same bytes, \n standing for \r\n in what precedes an empty line.
func says(text string, closing bool) func(net.Conn, int) {
	head, body, _ := strings.Cut(text, "\n\n")
	wire := strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body
	return func(conn net.Conn, _ int) {
		conn.Write([]byte(wire))
		if closing {
			conn.Close()
		}
	}
}

func byHeader(t testing.TB) Classifier {
	c, err := ParseClassifier([]string{"header:X-Lambda-Version"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func target(url string) vegeta.Target { return vegeta.Target{Method: "GET", URL: url} }

func perSecond(n int) vegeta.Rate { return vegeta.Rate{Freq: n, Per: time.Second} }

// sum adds up windows, and checks what must hold for each.
type sum struct {
	Window
	all     Answers // late ones too
	late    uint64
	windows int
}

func (s *sum) add(t testing.TB, w Window) {
	t.Helper()
	if s.windows > 0 && w.Index != s.Index+1 {
		t.Errorf("window %d follows %d", w.Index, s.Index)
	}
	if w.Start != time.Duration(w.Index)*WindowLength || w.Length != WindowLength {
		t.Errorf("window %d is %v from %v", w.Index, w.Length, w.Start)
	}
	if w.Hits+w.Pending != w.Due || w.Sent < w.Hits || w.Sent > w.Due {
		t.Errorf("window %d: %d due, %d sent, %d hits, %d pending", w.Index, w.Due, w.Sent, w.Hits, w.Pending)
	}
	if n := hits(w.Answers); n != w.Hits {
		t.Errorf("window %d: %d hits, in its tallies %d", w.Index, w.Hits, n)
	}
	s.windows++
	s.Index, s.Start = w.Index, w.Start
	s.Due += w.Due
	s.Sent += w.Sent
	s.Hits += w.Hits
	s.Pending += w.Pending
	s.Turns.Same += w.Turns.Same
	s.Turns.Switched += w.Turns.Switched
	s.Wake.Merge(w.Wake)
	s.Blocked.Merge(w.Blocked)
	s.Opened.Merge(w.Opened)
	s.Examples = append(s.Examples, w.Examples...)
	s.all.Merge(w.Answers)
	for _, l := range w.Late {
		if l.Index >= w.Index {
			t.Errorf("window %d has late answers of window %d", w.Index, l.Index)
		}
		s.late += hits(l.Answers)
		s.all.Merge(l.Answers)
	}
}

func hits(a Answers) (n uint64) {
	for _, t := range a.Arms {
		n += t.Hits
	}
	for _, t := range a.Unattributed {
		n += t.Hits
	}
	return n
}

func (s *sum) errors() map[Class]uint64 {
	all := make(map[Class]uint64)
	for _, t := range s.tallies() {
		for class, n := range t.Errors {
			all[class] += n
		}
	}
	return all
}

func (s *sum) tallies() (all []*Tally) {
	for _, t := range s.all.Arms {
		all = append(all, t)
	}
	for _, t := range s.all.Unattributed {
		all = append(all, t)
	}
	return all
}

func (s *sum) response() (h Histogram) {
	for _, t := range s.tallies() {
		h.Merge(t.Response)
	}
	return h
}

func (s *sum) service() (h Histogram) {
	for _, t := range s.tallies() {
		h.Merge(t.Service)
	}
	return h
}

// attack runs a plan to its end.
func attack(t testing.TB, p Plan) *sum {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	s := new(sum)
	for w := range Run(t.Context(), p) {
		s.add(t, w)
	}
	return s
}

// noLeak checks at the end that as many goroutines run as at the beginning.
func noLeak(t *testing.T) (check func()) {
	before := runtime.NumGoroutine()
	return func() {
		t.Helper()
		var now int
		for range 50 {
			if now = runtime.NumGoroutine(); now <= before {
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines, before %d:\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
	}
}

func (s *raw) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.open {
		conn.Close()
	}
	s.open = nil
}

var discard = log.New(io.Discard, "", 0)
