package attack

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Whatever a target does, each hit ends in one class and is attributed if its answer names a version.
func TestMisbehavingTargets(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup // at once: what they take is waiting
	defer all.Wait()
	const ok = "HTTP/1.1 200 OK\nX-Lambda-Version: 2\n"
	for _, c := range []struct {
		name    string
		answer  func(net.Conn, int)
		class   Class
		arm     bool // names version 2
		cause   Cause
		perConn bool // each request needs a connection of its own
	}{
		{"well", says(ok+"Content-Length: 2\n\nok", false), "", true, "", false},
		{"garbage", says("\x00\x01SSH-2.0-OpenSSH\n\nwhat", true), Transport, false, NoTransport, true},
		{"nothing", func(conn net.Conn, _ int) { conn.Close() }, Transport, false, NoTransport, true},
		{"half a header", says("HTTP/1.1 200 OK\nX-Lambda-Vers", true), Transport, false, NoTransport, true},
		{"a header without end", func(conn net.Conn, _ int) {
			conn.Write([]byte("HTTP/1.1 200 OK\r\nX-Long: "))
			for range 2 << 20 / 1024 {
				conn.Write(make([]byte, 1024))
			}
		}, Transport, false, NoTransport, true},
		{"reset", func(conn net.Conn, _ int) {
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}, Transport, false, NoTransport, true},
		{"never answers", func(net.Conn, int) {}, Timeout, false, NoTimeout, true},
		{"closes in the body", says(ok+"Content-Length: 20\n\nhalf", true), Truncated, true, "", true},
		{"closes in the body, anonymous", says("HTTP/1.1 200 OK\nContent-Length: 20\n\nhalf", true), Truncated, false, NoTransport, true},
		{"closes in a chunk", says(ok+"Transfer-Encoding: chunked\n\n14\r\nhalf", true), Truncated, true, "", true},
		{"chunk of garbage", says(ok+"Transfer-Encoding: chunked\n\nzz\r\n", true), Truncated, true, "", true},
		{"says less than it sends", says(ok+"Content-Length: 2\n\nok and more", false), "", true, "", true},
		{"chunked", says(ok+"Transfer-Encoding: chunked\n\n2\r\nok\r\n0\r\n\r\n", false), "", true, "", false},
		{"trailers", says(ok+"Transfer-Encoding: chunked\nTrailer: X-Sum\n\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", false), "", true, "", false},
		{"no length", says(ok+"\nuntil the end", true), "", true, "", true},
		{"connection: close", says(ok+"Connection: close\nContent-Length: 2\n\nok", false), "", true, "", true},
		{"HTTP/1.0", says("HTTP/1.0 200 OK\nX-Lambda-Version: 2\n\nok", true), "", true, "", true},
		{"HTTP/1.0, kept alive", says("HTTP/1.0 200 OK\nConnection: keep-alive\nX-Lambda-Version: 2\nContent-Length: 2\n\nok", false), "", true, "", false},
		{"100 first", says("HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX-Lambda-Version: 2\r\nContent-Length: 0\r\n\r\n", false), "", true, "", false},
		{"only 100", says(strings.TrimPrefix(strings.Repeat("\r\n\r\nHTTP/1.1 100 Continue", 7), "\r\n\r\n")+"\n\n", false), Transport, false, NoTransport, true},
		{"101", says("HTTP/1.1 101 Switching Protocols\n\n", false), Wrong, false, Unrecognised, true},
		{"204", says("HTTP/1.1 204 No Content\nX-Lambda-Version: 2\n\n", false), Wrong, true, "", false},
		{"redirect", says("HTTP/1.1 302 Found\nLocation: /elsewhere\nContent-Length: 0\n\n", false), Redirect, false, No3xx, false},
		{"304", says("HTTP/1.1 304 Not Modified\n\n", false), Redirect, false, No3xx, false},
		{"401", says("HTTP/1.1 401 No\nContent-Length: 0\n\n", false), Unauthorized, false, No4xx, false},
		{"403", says("HTTP/1.1 403 No\nContent-Length: 0\n\n", false), Forbidden, false, No4xx, false},
		{"404", says("HTTP/1.1 404 No\nContent-Length: 0\n\n", false), ClientError, false, No4xx, false},
		{"429", says("HTTP/1.1 429 No\nContent-Length: 0\n\n", false), Throttled, false, No429, false},
		{"500", says("HTTP/1.1 500 No\nContent-Length: 0\n\n", false), ServerError, false, No5xx, false},
		{"500 of a version", says("HTTP/1.1 500 No\nX-Lambda-Version: 2\nContent-Length: 0\n\n", false), ServerError, true, "", false},
		{"502", says("HTTP/1.1 502 No\nContent-Length: 0\n\n", false), ServerError, false, No5xx, false},
		{"504", says("HTTP/1.1 504 No\nContent-Length: 0\n\n", false), GatewayTime, false, No504, false},
		{"999", says("HTTP/1.1 999 No\nContent-Length: 0\n\n", false), ServerError, false, No5xx, false},
		{"no version", says("HTTP/1.1 200 OK\nContent-Length: 0\n\n", false), "", false, Unrecognised, false},
		{"a name nobody can read", says("HTTP/1.1 200 OK\nX-Lambda-Version: 2\xff\nContent-Length: 0\n\n", false), "", false, Unrecognised, false},
		{"a name too long", says("HTTP/1.1 200 OK\nX-Lambda-Version: "+strings.Repeat("2", 200)+"\nContent-Length: 0\n\n", false), "", false, Unrecognised, false},
	} {
		s := rawServer(t, c.answer)
		const n = 3
		timeout := 3 * time.Second
		if c.class == Timeout { // of a target that says nothing, so that it does not matter how long it is
			timeout = 50 * time.Millisecond
		}
		all.Go(func() {
			got := attack(t, Plan{Target: target(s.url), MaxHits: n, Connections: 1, Duration: 5 * time.Second, Timeout: timeout, Classify: byHeader(t)})
			if got.Hits+got.late != n {
				t.Errorf("%s: %d hits, %d pending", c.name, got.Hits, got.Pending)
				return
			}
			if c.class == "" && len(got.errors()) > 0 || c.class != "" && got.errors()[c.class] != n {
				t.Errorf("%s: errors %v, want %q", c.name, got.errors(), c.class)
			}
			if arm := got.all.Arms["2"]; c.arm && (arm == nil || arm.Hits != n) || !c.arm && (got.all.Unattributed[c.cause] == nil || got.all.Unattributed[c.cause].Hits != n) {
				t.Errorf("%s: arms %v, unattributed %v", c.name, got.all.Arms, got.all.Unattributed)
			}
			if conns := s.conns.Load(); c.perConn && conns != n || !c.perConn && conns != 1 {
				t.Errorf("%s: %d connections for %d requests", c.name, conns, n)
			}
		})
	}
}

func TestRefusedAndUnresolved(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	url := "http://" + listener.Addr().String() + "/products?key=secret"
	got := attack(t, Plan{Target: target(url), Rate: perSecond(50), Duration: 100 * time.Millisecond})
	if got.Hits != 5 || got.errors()[Transport] != 5 || got.all.Unattributed[NoTransport] == nil {
		t.Errorf("%d hits, errors %v", got.Hits, got.errors())
	}
	_, err = Probe(t.Context(), Plan{Target: target(url)}, 50)
	if want := "GET http://" + listener.Addr().String() + "/products: connection refused"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Names under .localhost are this machine, whatever the resolver says, and the target still sees the name.
func TestLocalhostNames(t *testing.T) {
	var host atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host.Store(r.Host) }))
	defer s.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	to := "http://api.products.Localhost:" + port + "/"
	sample, err := Probe(t.Context(), Plan{Target: vegeta.Target{Method: "GET", URL: to}}, 1)
	if err != nil || len(sample.Answers) != 1 || sample.Answers[0].Status != 200 {
		t.Fatalf("%+v %v", sample, err)
	}
	if got := host.Load(); got != "api.products.Localhost:"+port {
		t.Errorf("the target was asked for host %v", got)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.Proto)) }))
	s.Config.ErrorLog = discard
	s.StartTLS()
	defer s.Close()
	p := Plan{Target: target(s.URL), MaxHits: 3, Connections: 1, Duration: 5 * time.Second}
	if got := attack(t, p); got.errors()[Transport] != 3 {
		t.Errorf("a certificate nobody signed: errors %v", got.errors())
	}
	if _, err := Probe(t.Context(), p, 1); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("probe: %v", err)
	}
	p.Insecure = true
	if got := attack(t, p); got.Hits != 3 || len(got.errors()) != 0 {
		t.Errorf("not verified: %d hits, errors %v", got.Hits, got.errors())
	}
	sample, err := Probe(t.Context(), p, 1)
	if err != nil || string(sample.Answers[0].Body) != "HTTP/1.1" {
		t.Errorf("probe: %v, %+v", err, sample)
	}
}

// When this machine runs out of files the target is not to blame: such hits are neither sent nor errors.
func TestOwnLimitsAreNobodysError(t *testing.T) {
	s := versions(t)
	p := Plan{Target: target(s.URL), Rate: perSecond(10)}
	client, err := newClient(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	left := 1
	client.dialer.Control = func(string, string, syscall.RawConn) error {
		if left--; left < 0 {
			return syscall.EMFILE
		}
		return nil
	}
	var now time.Duration
	r := &run{plan: p, client: client, expect: p.Expect.parse(), now: func() time.Duration { return now }, ctx: t.Context()}
	r.tally = newTally(p, r.now, 0)
	r.tally.due = Schedule{p.Rate}.DueBefore
	r.tally.end = 2 * WindowLength
	for i := range 2 {
		c := client.connection()
		sender := sender{run: r, connection: c}
		due := time.Duration(i) * WindowLength
		r.tally.sent(due, due, false)
		sender.send(uint64(i), due, due)
		c.close()
	}
	now = 2 * WindowLength
	if wait, finished := r.tally.sealComplete(); !finished {
		t.Errorf("waits %v for the answer to what was not sent", wait)
	}
	windows, _ := r.tally.sealed()
	if len(windows) != 2 || windows[0].Sent != 1 || windows[0].Hits != 1 || windows[1].Sent != 0 || windows[1].Hits != 0 || windows[1].Pending != 1 {
		t.Errorf("%+v", windows)
	}
}

// What goes over the wire is the plan's, and nothing else.
func TestRequest(t *testing.T) {
	t.Parallel()
	check := func(name string, p Plan, want string) {
		t.Helper()
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		c, err := newClient(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(string(c.source.connection()(0).wire), "\r\n", "\n"); got != want {
			t.Errorf("%s:\n%q, want\n%q", name, got, want)
		}
	}
	check("least", Plan{Target: vegeta.Target{URL: "http://example.com"}},
		"GET / HTTP/1.1\nHost: example.com\nUser-Agent: coalmine\n\n")
	check("most", Plan{
		Target: vegeta.Target{Method: "POST", URL: "http://example.com:81/a?b=c", Body: []byte("hello"),
			Header: http.Header{"host": {"prod.example.com"}, "user-agent": {"mine"}, "X-A": {"1", "2"}}},
		UserAgent: "coalmine/1", RunID: "abc",
	}, "POST /a?b=c HTTP/1.1\nHost: prod.example.com\nUser-Agent: mine\nContent-Length: 5\nX-A: 1\nX-A: 2\nX-Coalmine-Run: abc\n\nhello")
	check("own user agent", Plan{Target: target("http://example.com/"), UserAgent: "coalmine/1"},
		"GET / HTTP/1.1\nHost: example.com\nUser-Agent: coalmine/1\n\n")
}

// A connection that was idle and is closed is nobody's error; one that is closed in use is the target's.
func TestStaleConnections(t *testing.T) {
	t.Parallel()
	closing := func(after time.Duration) (*raw, *atomic.Int64) {
		var requests atomic.Int64
		return rawServer(t, func(conn net.Conn, nth int) {
			requests.Add(1)
			if after == 0 && nth == 1 {
				conn.Close()
				return
			}
			conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			if after > 0 {
				time.AfterFunc(after, func() { conn.Close() })
			}
		}), &requests
	}
	ask := func(s *raw, pause time.Duration) (classes []Class, resent bool) {
		client, err := newClient(t.Context(), Plan{Target: target(s.url)})
		if err != nil {
			t.Fatal(err)
		}
		c := client.connection()
		defer c.close()
		first := c.do(t.Context(), 0, c.now()).class
		time.Sleep(pause)
		second := c.do(t.Context(), 0, c.now())
		return []Class{first, second.class}, second.resent
	}
	idle, requests := closing(50 * time.Millisecond)
	if got, resent := ask(idle, idleForRetry+50*time.Millisecond); got[0] != "" || got[1] != "" || requests.Load() != 2 || !resent {
		t.Errorf("closed while idle: %q, %d requests, sent again: %v", got, requests.Load(), resent)
	}
	busy, _ := closing(0)
	if got, resent := ask(busy, 0); got[0] != "" || got[1] != Transport || resent {
		t.Errorf("closed in use: %q, sent again: %v", got, resent)
	}
}

// A request that went out twice is counted in the window sealed next, whatever sends it.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	s := rawServer(t, func(conn net.Conn, nth int) {
		if nth == 1 {
			conn.Close()
			return
		}
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	})
	for _, proxy := range []string{"", s.url} { // with a proxy net/http sends
		p := Plan{Target: target(s.url), Rate: perSecond(10), Proxy: strings.TrimSuffix(proxy, "/products")}
		client, err := newClient(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		r := &run{plan: p, client: client, expect: p.Expect.parse(), now: client.now, ctx: t.Context()}
		r.tally = newTally(p, r.now, 0)
		r.tally.due, r.tally.end = Schedule{p.Rate}.DueBefore, 3*WindowLength
		c := client.connection()
		sender := sender{run: r, connection: c}
		for i := range 3 {
			due := time.Duration(i) * WindowLength
			sent := c.now() + time.Duration(i)*2*idleForRetry // as if it had been idle for that long
			r.tally.sent(due, sent, false)
			if class := sender.send(uint64(i), due, sent); class != "" {
				t.Errorf("proxy %q: hit %d: %s, %v", proxy, i, class, c.reply.err)
			}
		}
		c.close()
		r.tally.sealRest()
		windows, _ := r.tally.sealed()
		if len(windows) != 3 || windows[0].Resent != 2 || windows[1].Resent+windows[2].Resent != 0 {
			t.Errorf("proxy %q: %+v, want 2 sent again, once", proxy, windows)
		}
		if client.transport != nil {
			client.transport.CloseIdleConnections()
		}
	}
}

// A target closes a connection on which no request comes, as servers do after their time for a header (net/http's
// ReadHeaderTimeout): one that was opened before the load and not needed at once is as stale as any other.
func TestWarmConnectionsGrowStale(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted atomic.Int64
	s := &http.Server{
		Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ErrorLog: discard,
		ConnState: func(conn net.Conn, state http.ConnState) {
			if state == http.StateNew && accepted.Add(1) == 1 {
				conn.Close()
			}
		},
	}
	go s.Serve(listener)
	defer s.Close()
	client, err := newClient(t.Context(), Plan{Target: target("http://" + listener.Addr().String())})
	if err != nil {
		t.Fatal(err)
	}
	c := client.warmUp(t.Context(), 1)[0]
	defer c.close()
	time.Sleep(idleForRetry + 50*time.Millisecond)
	if got := c.do(t.Context(), 0, c.now()); got.class != "" || accepted.Load() != 2 {
		t.Errorf("%q (%v) after %d connections", got.class, got.err, accepted.Load())
	}
}

// A target that has closed its own direction, and still takes requests, will not answer; it is not slow.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	s := rawServer(t, func(conn net.Conn, nth int) {
		if nth == 0 {
			conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			conn.(*net.TCPConn).CloseWrite()
		}
	})
	client, err := newClient(t.Context(), Plan{Target: target(s.url), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := client.connection()
	defer c.close()
	if class := c.do(t.Context(), 0, c.now()).class; class != "" {
		t.Fatalf("first: %q", class)
	}
	time.Sleep(20 * time.Millisecond) // by then Go's poller has told, and nobody has listened; if not the end is told again
	reply := c.do(t.Context(), 1, c.answered)
	if reply.class != Transport || reply.err != io.ErrUnexpectedEOF && reply.err != io.EOF {
		t.Errorf("%q %v: want %q, and that it ended", reply.class, reply.err, Transport)
	}
}

// A tap calls a function when so many bytes have come.
type tap struct {
	from io.Reader
	left int
	then func()
}

func (h *tap) Read(b []byte) (int, error) {
	n, err := h.from.Read(b)
	if h.left -= n; h.left == 0 {
		h.then()
	}
	return n, err
}

// What had come when the time was up still names a version.
func TestTimeoutInTheBody(t *testing.T) {
	t.Parallel()
	const half = "HTTP/1.1 200 OK\r\nX-Lambda-Version: 2\r\nContent-Length: 20\r\n\r\nhalf"
	s := rawServer(t, func(conn net.Conn, _ int) { conn.Write([]byte(half)) })
	client, err := newClient(t.Context(), Plan{Target: target(s.url), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c := client.connection()
	defer c.close()
	if err := c.open(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	timeUp := func() { c.timer.expire(c.timer.deadline.Load()) }
	c.parser.from = &tap{c.conn, len(half), timeUp}
	reply := c.do(t.Context(), 0, c.now())
	version, cause := c.classify(byHeader(t))
	if reply.class != Timeout || string(version) != "2" || cause != "" || c.conn != nil {
		t.Errorf("%q of version %q, cause %q, connection %v: want %q of 2, and closed", reply.class, version, cause, c.conn, Timeout)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		w.Write(make([]byte, n))
	}))
	defer s.Close()
	for _, size := range []int{0, 1, 511, 512, 513, 65535, 65536, 65537, 1 << 20, 11 << 20} {
		for _, withJSON := range []bool{false, true} {
			p := Plan{Target: target(fmt.Sprintf("%s/%d", s.URL, size))}
			kept := min(size, classifiedBytes)
			if withJSON {
				p.Expect.JSON = map[string]Shape{"/a": {}}
				kept = min(size, keptBytes)
			}
			client, err := newClient(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			c := client.connection()
			for range 2 {
				r := c.do(t.Context(), 0, c.now())
				if r.class != "" || r.size != int64(size) || len(r.body) != kept {
					t.Errorf("%d bytes: %q, %d, kept %d, want %d: %v", size, r.class, r.size, len(r.body), kept, r.err)
				}
			}
			c.close()
		}
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	s := versions(t)
	sample, err := Probe(t.Context(), Plan{Target: target(s.URL), Classify: byHeader(t)}, 60)
	if err != nil || len(sample.Answers) != MaxProbes {
		t.Fatalf("%d answers, %v", len(sample.Answers), err)
	}
	for _, a := range sample.Answers {
		if a.Status != 200 || a.Version != "1" && a.Version != "2" || a.Class != "" || a.Latency <= 0 || len(a.Body) == 0 || a.Header.Get("X-Lambda-Version") != a.Version {
			t.Errorf("%+v", a)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Probe(ctx, Plan{Target: target(s.URL)}, 5); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Probe(t.Context(), Plan{}, 5); err == nil || !strings.Contains(err.Error(), "url") {
		t.Errorf("no plan: %v", err)
	}
	var sent atomic.Int64
	silent := rawServer(t, func(net.Conn, int) { sent.Add(1) })
	if _, err := Probe(t.Context(), Plan{Target: target(silent.url), Timeout: 50 * time.Millisecond}, 50); err == nil || !strings.HasSuffix(err.Error(), ": timeout") || sent.Load() > probesAtATime {
		t.Errorf("silent: %v after %d requests", err, sent.Load())
	}
	none := rawServer(t, says("HTTP/1.1 500 No\nContent-Length: 0\n\n", false))
	sample, err = Probe(t.Context(), Plan{Target: target(none.url), Classify: byHeader(t)}, 2)
	if err != nil || len(sample.Answers) != 2 || sample.Answers[0].Cause != No5xx || sample.Answers[0].Class != ServerError {
		t.Errorf("errors: %v, %+v", err, sample)
	}
}
