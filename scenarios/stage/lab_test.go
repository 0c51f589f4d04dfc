package stage_test

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// lab is the demonstration system on an emulator, behind a proxy that a test
// may tamper with.
type lab struct {
	*stage.Client
	t        *testing.T
	system   products.System
	emulator *emulator.Server
	proxy    *proxy
	backend  string    // the emulator, past the proxy
	ref      stage.Ref // prod
	dir      string    // journals
}

func newLab(t *testing.T) *lab {
	t.Helper()
	e, err := emulator.Start("127.0.0.1:0", emulator.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	p := newProxy(t, e.URL())
	l := &lab{t: t, emulator: e, proxy: p, backend: e.URL(), dir: memory(t)}
	l.Client = connect(t, p.URL)
	system, _, err := products.Up(t.Context(), l.Client)
	if err != nil {
		t.Fatal(err)
	}
	l.system = system
	l.ref = stage.Ref{API: system.API, Stage: "prod", Method: products.Method, Path: products.Path}
	return l
}

// memory is a directory that costs nothing to sync, where there is one: journals
// are synced some ten thousand times here.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "coalmine-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The tests must not meet the AWS of whoever runs them.
func TestMain(m *testing.M) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	if spec := os.Getenv(childVariable); spec != "" {
		os.Exit(child(spec))
	}
	flag.Set("test.parallel", "4") // they wait for children and for backoffs; -parallel on the command line has the last word
	os.Exit(m.Run())
}

func connect(t *testing.T, endpoint string) *stage.Client {
	t.Helper()
	c, err := stage.Connect(t.Context(), stage.Config{Endpoint: endpoint, Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (l *lab) journal() *stage.Journal {
	l.t.Helper()
	j, err := l.OpenJournal(l.dir, l.ref)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { j.Close() })
	return j
}

func (l *lab) read() stage.State {
	l.t.Helper()
	s, err := l.Read(context.Background(), l.ref)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// measured is what a verdict on the stage as it is would be about.
func (l *lab) measured() stage.Measured {
	l.t.Helper()
	m, err := l.Measure(context.Background(), l.ref)
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

// must takes a verb's results.
func (l *lab) must(ch stage.Change, err error) stage.Change {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	return ch
}

var versionText = regexp.MustCompile(`all products v(\d+)`)

// answers counts which versions answer a stage.
func (l *lab) answers(name string, n int) map[string]int {
	l.t.Helper()
	got := map[string]int{}
	for range n {
		resp, err := http.Get(l.system.Stage(name).URL)
		if err != nil {
			l.t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		version := resp.Status
		if m := versionText.FindSubmatch(body); m != nil && resp.StatusCode == 200 {
			version = string(m[1])
		}
		got[version]++
	}
	return got
}

// settings are what must be as before: all but the time of the last update.
func settings(s stage.State) stage.State {
	s.LastUpdated = time.Time{}
	return s
}

// same fails the test unless the settings are equal.
func (l *lab) same(got, want stage.State) {
	l.t.Helper()
	if diff := settings(got).Differs(settings(want)); diff != nil {
		l.t.Errorf("stage is not as it was: %s", strings.Join(diff, "; "))
	}
}

// proxy stands before the emulator. tamper may answer a request, and then
// returns true.
type proxy struct {
	URL    string
	next   http.Handler
	tamper atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
	calls  atomic.Int64 // of the control plane

	mu     sync.Mutex
	log    []string // method and path
	server *http.Server
}

func newProxy(t *testing.T, target string) *proxy {
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{next: httputil.NewSingleHostReverseProxy(u)}
	// Not 127.0.0.1: no connection of anybody's begins there, which might take
	// the port while the proxy is down.
	if err := p.listen("127.77.0.1:0"); err != nil {
		if err := p.listen("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(p.down)
	return p
}

func (p *proxy) listen(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
	p.mu.Lock()
	p.URL, p.server = "http://"+listener.Addr().String(), server
	p.mu.Unlock()
	go server.Serve(listener)
	return nil
}

// down refuses every connection, and breaks those there are, until up.
func (p *proxy) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server.Close()
}

func (p *proxy) up() error { return p.listen(strings.TrimPrefix(p.URL, "http://")) }

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "_user_request_") {
		p.calls.Add(1)
		p.mu.Lock()
		p.log = append(p.log, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
	}
	if f := p.tamper.Load(); f != nil && (*f)(w, r) {
		return
	}
	p.next.ServeHTTP(w, r)
}

func (p *proxy) with(f func(w http.ResponseWriter, r *http.Request) bool) {
	if f == nil {
		p.tamper.Store(nil)
		return
	}
	p.tamper.Store(&f)
}

// forget empties the log of calls.
func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = nil
	p.calls.Store(0)
}

// changes are the logged calls that are not reads.
func (p *proxy) changes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, call := range p.log {
		if !strings.HasPrefix(call, "GET ") {
			out = append(out, call)
		}
	}
	return out
}

// cut breaks the connection without an answer.
func cut() { panic(http.ErrAbortHandler) }

func awsError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amzn-Errortype", code)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, `{"message":"`+message+`"}`)
}

// onPatch looks before a patch is forwarded.
func onPatch(look func()) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PATCH" {
			look()
		}
		return false
	}
}
