package attack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// listening accepts connections at addresses, which must be loopback's, and counts them by address.
func listening(t *testing.T, addresses ...string) (port string, accepted map[string]*atomic.Int64) {
	accepted = make(map[string]*atomic.Int64)
	port = "0"
	for _, a := range addresses {
		l, err := net.Listen("tcp", net.JoinHostPort(a, port))
		if err != nil {
			t.Skip(err) // not everywhere is all of 127/8 one's own
		}
		t.Cleanup(func() { l.Close() })
		_, port, _ = net.SplitHostPort(l.Addr().String())
		n := new(atomic.Int64)
		accepted[a] = n
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				n.Add(1)
				conn.Close()
			}
		}()
	}
	return port, accepted
}

// Every address of a name gets its part; one that fails is left out until the name is looked up again.
func TestAllAddressesAreUsed(t *testing.T) {
	port, accepted := listening(t, "127.0.0.1", "127.0.0.2")
	d := newDialer("api.example.com:"+port, "")
	lookups := 0
	d.lookup = func(context.Context, string) ([]string, error) {
		lookups++
		return []string{"127.0.0.1", "127.0.0.3", "127.0.0.2"}, nil // nobody listens at the second
	}
	dial := func(n int) {
		t.Helper()
		for range n {
			conn, err := d.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
	}
	dial(10)
	for a, n := range accepted {
		for range 100 { // accepting comes after connecting
			if n.Load() == 5 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if got := n.Load(); got < 4 || got > 6 {
			t.Errorf("%s: %d connections of 10", a, got)
		}
	}
	if lookups != 1 || len(d.addresses) != 2 {
		t.Errorf("%d lookups, %v", lookups, d.addresses)
	}
	d.asked = time.Now().Add(-lookupEvery)
	d.lookup = func(context.Context, string) ([]string, error) { lookups++; return nil, errors.New("no answer") }
	dial(1)
	if lookups != 2 || len(d.addresses) != 2 {
		t.Errorf("where a name cannot be resolved any more: %d lookups, %v", lookups, d.addresses)
	}
	d.lookup = func(context.Context, string) ([]string, error) { lookups++; return []string{"127.0.0.2"}, nil }
	dial(1)
	if lookups != 2 {
		t.Errorf("%d lookups at once", lookups)
	}
	d.asked = time.Now().Add(-lookupEvery)
	dial(1)
	if lookups != 3 || len(d.addresses) != 1 {
		t.Errorf("after a while: %d lookups, %v", lookups, d.addresses)
	}
}

// A target that refuses every connection is no reason to ask a resolver for each.
func TestRefusedConnectionsAskNoResolver(t *testing.T) {
	port, _ := listening(t, "127.0.0.1")
	d := newDialer("api.example.com:"+port, "")
	lookups := 0
	d.lookup = func(context.Context, string) ([]string, error) {
		lookups++
		return []string{"127.0.0.2", "127.0.0.3"}, nil // nobody listens at either
	}
	dial := func() {
		t.Helper()
		if _, err := d.dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: want that it was refused", err)
		}
	}
	for range 10 {
		dial()
	}
	if lookups != 1 {
		t.Errorf("%d lookups for 10 connections that were refused", lookups)
	}
	d.asked = time.Now().Add(-lookupAgain)
	dial()
	if lookups != 2 {
		t.Errorf("after a second %d lookups: want another, the target may have moved", lookups)
	}
}

// The host in the request, and the name on the certificate, stay those of the URL.
func TestConnectTo(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.Host)) })
	s := httptest.NewTLSServer(handler)
	defer s.Close()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: handler}
	go local.Serve(l)
	defer local.Close()
	for _, p := range []Plan{
		{Target: target("https://api.example.com/"), Insecure: true, ConnectTo: s.Listener.Addr().String()},
		{Target: target("http://api.example.com/"), ConnectTo: "unix:" + path},
	} {
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		sample, err := Probe(t.Context(), p, 1)
		if err != nil || string(sample.Answers[0].Body) != "api.example.com" {
			t.Errorf("%s: %v, %+v", p.ConnectTo, err, sample)
		}
	}
}

// Connections are open before the first hit is due, and how long that took is told; sessions of TLS are taken up again.
func TestWarmConnections(t *testing.T) {
	t.Parallel()
	var resumed, handshakes atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			resumed.Add(1)
		}
		w.Header().Set("Connection", "close")
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			handshakes.Add(1)
		}
	}
	s.Config.ErrorLog = discard
	s.StartTLS()
	defer s.Close()
	got := attack(t, Plan{Target: target(s.URL), Insecure: true, Rate: perSecond(40), Duration: 500 * time.Millisecond, Connections: 4})
	if got.Hits != 20 || got.Opened.Total() != uint64(handshakes.Load()) || got.Opened.Total() < 20 || got.Opened.Total() > 24 || len(got.errors()) > 0 {
		t.Errorf("%d hits, %d connections of which %d are told, errors %v", got.Hits, handshakes.Load(), got.Opened.Total(), got.errors())
	}
	if resumed.Load() < 10 {
		t.Errorf("%d of 20 sessions taken up again", resumed.Load())
	}
	for plan, want := range map[int]int{0: 25, -1: 0, 7: 7, 2000: 1000} {
		if n := (Plan{Rate: perSecond(500), Warm: plan}).warm(); n != want {
			t.Errorf("warm %d at 500/s: %d, want %d", plan, n, want)
		}
	}
	if n := (Plan{Rate: perSecond(500), MaxHits: 3}).warm(); n != 3 {
		t.Errorf("%d warm connections for 3 hits", n)
	}
}

func TestHTTP2AndProxies(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Lambda-Version", r.Proto)
		w.Write([]byte(r.Header.Get("X-Forwarded-For")))
	})
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2, s.Config.ErrorLog = true, discard
	s.StartTLS()
	defer s.Close()
	old := httptest.NewServer(handler)
	defer old.Close()
	to, _ := url.Parse(old.URL)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() }})
	defer proxy.Close()
	check := func(name, version string, p Plan) {
		t.Helper()
		p.Rate, p.Duration, p.Classify, p.Baseline, p.Canary = perSecond(100), 200*time.Millisecond, byHeader(t), version, "none"
		got := attack(t, p)
		if arm := got.all.Arms[version]; got.Hits != 20 || len(got.errors()) > 0 || arm == nil || arm.Hits != 20 || got.Turns != (Turns{}) {
			t.Errorf("%s: %d hits, errors %v, arms %v, unattributed %v, turns %v", name, got.Hits, got.errors(), got.all.Arms, got.all.Unattributed, got.Turns)
		}
	}
	check("HTTP/2", "HTTP/2.0", Plan{Target: target(s.URL), Insecure: true, HTTP2: true})
	check("proxy", "HTTP/1.1", Plan{Target: target("http://api.example.com/"), Proxy: proxy.URL})
	got := attack(t, Plan{Target: target(s.URL), HTTP2: true, MaxHits: 3, Connections: 1})
	if got.errors()[Transport] != 3 {
		t.Errorf("a certificate that nobody signed: %v", got.errors())
	}
}

// A proxy is asked for the URL's host, whatever host the request names.
func TestProxyAndHost(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.Host)) }))
	defer s.Close()
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host)
		to, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		from, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(to, from)
		io.Copy(from, to)
	}))
	defer proxy.Close()
	p := Plan{Target: target(s.URL), Insecure: true, Proxy: proxy.URL}
	p.Target.Header = http.Header{"Host": {"api.example.com"}}
	sample, err := Probe(t.Context(), p, 1)
	if err != nil || string(sample.Answers[0].Body) != "api.example.com" {
		t.Fatalf("%v, %+v", err, sample)
	}
	if want := "CONNECT " + s.Listener.Addr().String(); asked.Load() != want {
		t.Errorf("the proxy was asked for %v, want %v", asked.Load(), want)
	}
	p.Target.URL = "http://127.0.0.1/"
	if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), "proxy: with a header Host") {
		t.Errorf("net/http would ask for the header's host: %v", err)
	}
}

// Where connections lead to another place than the URL says, a failure names it.
func TestTroubleNamesThePlace(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "none")
	closed := httptest.NewServer(nil)
	closed.Close()
	for want, p := range map[string]Plan{
		socket + ": no such file or directory": {ConnectTo: "unix:" + socket},
		"proxy: connection refused":            {Proxy: closed.URL},
	} {
		p.Target = target("http://api.example.com/")
		if _, err := Probe(t.Context(), p, 1); err == nil || err.Error() != "GET http://api.example.com/: "+want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The engine and vegeta's see the same.
func TestVegetaSeesTheSame(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		w.Header().Set("X-Lambda-Version", []string{"1", "2"}[i%2])
		time.Sleep(2 * time.Millisecond)
		switch i % 10 {
		case 3:
			w.WriteHeader(http.StatusInternalServerError)
		case 5:
			w.Header().Set("Location", "/")
			w.WriteHeader(http.StatusFound)
		}
	}))
	defer s.Close()
	for _, engine := range []string{"", EngineVegeta} {
		n.Store(0)
		got := attack(t, Plan{Target: target(s.URL), Rate: perSecond(200), Duration: 500 * time.Millisecond, Classify: byHeader(t), Engine: engine})
		if got.Due != 100 || got.Sent != 100 || got.Hits != 100 || got.windows != 5 {
			t.Errorf("%q: %d due, %d sent, %d hits in %d windows", engine, got.Due, got.Sent, got.Hits, got.windows)
		}
		if e := got.errors(); e[ServerError] != 10 || e[Redirect] != 10 || len(e) != 2 {
			t.Errorf("%q: errors %v", engine, e)
		}
		if one, two := got.all.Arms["1"], got.all.Arms["2"]; one == nil || two == nil || one.Hits != 50 || two.Hits != 50 {
			t.Errorf("%q: arms %v", engine, got.all.Arms)
		}
		if p50 := got.service().Quantile(0.5); p50 < 2*time.Millisecond {
			t.Errorf("%q: median service time %v", engine, p50)
		}
	}
	silent := rawServer(t, func(net.Conn, int) {})
	got := attack(t, Plan{Target: target(silent.url), Rate: perSecond(50), Duration: 100 * time.Millisecond, Timeout: 50 * time.Millisecond, Engine: EngineVegeta})
	// One sent a little late may time out after its window was sealed.
	if ended := got.Hits + got.late; got.Due != 5 || ended == 0 || got.errors()[Timeout] != ended {
		t.Errorf("silent: %d due, %d ended, %v", got.Due, ended, got.errors())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var cancelled time.Time
	time.AfterFunc(200*time.Millisecond, func() { cancelled = time.Now(); cancel() })
	for range Run(ctx, Plan{Target: target(silent.url), Rate: perSecond(50), Engine: EngineVegeta}) {
	}
	if took := time.Since(cancelled); took > 100*time.Millisecond {
		t.Errorf("stopped after %v", took)
	}
}

func TestValidateConnections(t *testing.T) {
	good := Plan{Target: target("https://api.example.com/"), Rate: perSecond(10)}
	for want, change := range map[string]func(*Plan){
		`connect to: "api:80": want ADDRESS:PORT`:                 func(p *Plan) { p.ConnectTo = "api:80" },
		`connect to: "unix:": want ADDRESS:PORT`:                  func(p *Plan) { p.ConnectTo = "unix:" },
		"proxy: want a URL like http://proxy.example.com:3128":    func(p *Plan) { p.Proxy = "proxy:3128" },
		"proxy: with HTTP/2 or another place":                     func(p *Plan) { p.Proxy, p.HTTP2 = "http://proxy:3128", true },
		`engine: "wrk": want "vegeta"`:                            func(p *Plan) { p.Engine = "wrk" },
		"engine: vegeta: want a rate and one target":              func(p *Plan) { p.Engine, p.Rate.Freq = EngineVegeta, 0 },
		"rate and pacer: both are given: want one of them":        func(p *Plan) { p.Pacer = Schedule{perSecond(1)} },
		"pacer: 300 hits per second at its peak are above the hi": func(p *Plan) { p.Rate.Freq, p.MaxRate, p.Pacer = 0, 200, pacerOf(t, "ramp:1:300:1s") },
	} {
		p := good
		change(&p)
		if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
