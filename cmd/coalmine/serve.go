package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// live is the report's page while the run goes on. The run hands over how things stand and goes on: what is drawn of it,
// and for whom, is this server's affair.
type live struct {
	address  string
	anywhere bool

	url    string
	server *http.Server
	loop   context.CancelFunc
	drawn  chan struct{} // closed when the last page is

	mu      sync.Mutex
	state   standing // nil: nothing yet
	changed bool     // since it was drawn for the viewers
	viewers map[chan []byte]bool
}

func (l *live) flags(f *pflag.FlagSet) {
	f.StringVar(&l.address, "serve", "", "`HOST:PORT` of a page that shows the run while it goes on, like 127.0.0.1:8099")
	f.BoolVar(&l.anywhere, "serve-anywhere", false, "allow --serve an address that other machines reach")
}

// check is what can be said of the address without listening.
func (l *live) check() error {
	if l.address == "" {
		if l.anywhere {
			return usagef("--serve-anywhere: want --serve HOST:PORT, too")
		}
		return nil
	}
	return listenable("serve", l.address, "127.0.0.1:8099", l.anywhere)
}

// listenable says of a flag's address whether it can be one to listen on, and is this machine's own unless anywhere allows more.
func listenable(flag, address, example string, anywhere bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usagef("--%s: %w: want HOST:PORT, like %s", flag, err, example)
	}
	if !anywhere && !loopbackHost(host) {
		return usagef("--%s: %s can be reached by other machines: want 127.0.0.1:PORT, or --%s-anywhere, too", flag, address, flag)
	}
	return nil
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

const (
	liveEvery   = time.Second     // between two updates
	liveWait    = 5 * time.Second // for a viewer to take one
	liveViewers = 16
)

// open listens, before anything is sent.
func (l *live) open(w world) error {
	if l.address == "" {
		return nil
	}
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		return usagef("--serve: %w", err)
	}
	l.url = "http://" + listener.Addr().String() + "/"
	fmt.Fprintf(w.stderr, "live page: %s\n", l.url)
	l.viewers, l.drawn = map[chan []byte]bool{}, make(chan struct{})
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: liveWait, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	ctx, cancel := context.WithCancel(context.Background())
	l.loop = cancel
	go l.server.Serve(listener)
	go l.redraw(ctx)
	return nil
}

// watch never waits.
func (l *live) watch(s standing) {
	if l.server == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.changed = s, true
}

// close shows the end to who is watching, and leaves.
func (l *live) close(s standing) {
	if l.server == nil {
		return
	}
	l.watch(s)
	l.loop()
	<-l.drawn
	ctx, cancel := context.WithTimeout(context.Background(), liveWait)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		l.server.Close()
	}
	l.server = nil
}

// redraw draws for the viewers, once for all, until the run ends.
func (l *live) redraw(ctx context.Context) {
	defer close(l.drawn)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.draw()
			l.mu.Lock()
			for viewer := range l.viewers {
				close(viewer)
			}
			l.viewers = nil // no more come in
			l.mu.Unlock()
			return
		case <-tick.C:
			l.draw()
		}
	}
}

func (l *live) draw() {
	l.mu.Lock()
	state := l.state
	if len(l.viewers) == 0 || !l.changed {
		state = nil
	} else {
		l.changed = false
	}
	l.mu.Unlock()
	if state == nil {
		return
	}
	update, err := state.update()
	if err != nil {
		return // the next one may do; the report at the end says why
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for viewer := range l.viewers {
		offer(viewer, update)
	}
}

// offer leaves the newest update for a viewer, whether it took the one before or not.
func offer(viewer chan []byte, update []byte) {
	for {
		select {
		case viewer <- update:
			return
		default:
		}
		select {
		case <-viewer:
		default:
		}
	}
}

// ServeHTTP answers whoever asks this machine by its own name: a page on the web that has its name resolve to it does not.
func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "frame-ancestors 'none'")
	switch {
	case !l.ownName(r.Host):
		http.Error(w, "this page is served to 127.0.0.1 and localhost only", http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
	case r.URL.Path == "/":
		l.page(w)
	case r.URL.Path == "/events" && r.Method == http.MethodGet:
		l.events(w, r)
	default:
		http.NotFound(w, r)
	}
}

// ownName reports that a request names loopback; with --serve-anywhere any address, or the name that was given.
func (l *live) ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if loopbackHost(host) {
		return true
	}
	own, _, _ := net.SplitHostPort(l.address)
	return l.anywhere && (net.ParseIP(host) != nil || host == own)
}

func (l *live) page(w http.ResponseWriter) {
	l.mu.Lock()
	state := l.state
	l.mu.Unlock()
	if state == nil {
		state = judged{}
	}
	var page bytes.Buffer
	if err := state.page(&page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(liveWait))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.Copy(w, &page)
}

// events sends updates to a viewer until the run ends, the viewer leaves, or does not take one in time.
func (l *live) events(w http.ResponseWriter, r *http.Request) {
	viewer := make(chan []byte, 1)
	l.mu.Lock()
	full := len(l.viewers) >= liveViewers || l.viewers == nil
	if !full {
		l.viewers[viewer] = true
		l.changed = l.state != nil // who comes is shown how things stand
	}
	l.mu.Unlock()
	if full {
		http.Error(w, "no more viewers", http.StatusServiceUnavailable)
		return
	}
	defer func() {
		l.mu.Lock()
		delete(l.viewers, viewer)
		l.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	answer := http.NewResponseController(w)
	send := func(parts ...[]byte) bool {
		answer.SetWriteDeadline(time.Now().Add(liveWait))
		for _, part := range parts {
			if _, err := w.Write(part); err != nil {
				return false
			}
		}
		return answer.Flush() == nil
	}
	if !send([]byte(": coalmine\n\n")) {
		return
	}
	for {
		select {
		case update, open := <-viewer:
			if !open || !send([]byte("data: "), update, []byte("\n\n")) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
