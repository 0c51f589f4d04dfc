// Package emulator is API Gateway (REST) and Lambda on loopback: both control planes over AWS's own wire protocol, and the
// data plane that turns a stage with a canary into traffic. AWS's SDKs and CLI talk to it unchanged; all services share one URL.
// Of CloudWatch, CloudWatch Logs, CodeDeploy, IAM and STS it has what is asked before and after a canary: concurrency and
// requests a minute, access logs, deployments under way, permissions, the caller.
//
// What it answers was recorded elsewhere, not invented here: error texts, the implicit canary, copy and merge rules and the
// shape of a stage come from LocalStack's snapshots of real AWS (2025), gateway error bodies from captures of a live API, paths
// and shapes from AWS's service models, the rest from AWS's guides. Where AWS's behaviour is not known, the emulator takes the
// stricter reading, so that code which passes here does not rest on luck.
//
// It imports no other package of this module: it must not share the bugs that it is there to reveal.
package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// Server is one emulated account in one process.
type Server struct {
	control control
	plane   plane
	mux     *http.ServeMux

	url      string
	http     *http.Server
	cancel   context.CancelFunc
	served   chan struct{}  // closed when Serve has returned
	handlers sync.WaitGroup // requests under way
	closing  sync.RWMutex   // keeps handlers.Add from racing handlers.Wait
	closed   bool
}

// Options are what a server does beside answering.
type Options struct {
	// Exec runs what is uploaded: a function's package is unpacked into a temporary folder, and its bootstrap is started as a
	// process of this user for each request at once, and reused. Without it every function is getProducts.
	Exec bool
	// Processes that may run at once; 0: 128. Requests beyond them wait for one to become free.
	Processes int
}

// Start listens on a loopback address ("127.0.0.1:0" takes any free port) and serves; anything but loopback is refused.
func Start(addr string, f Faults) (*Server, error) { return StartWith(addr, f, Options{}) }

// StartWith is Start with options.
func StartWith(addr string, f Faults, o Options) (*Server, error) {
	if err := loopback(addr); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	s, err := New(f)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	if err := s.exec(o); err != nil {
		l.Close()
		return nil, fmt.Errorf("emulator: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.url, s.cancel, s.served = "http://"+l.Addr().String(), cancel, make(chan struct{})
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.served)
		s.http.Serve(l)
	}()
	return s, nil
}

func (s *Server) exec(o Options) (err error) {
	if !o.Exec {
		return nil
	}
	if !canExec {
		return errors.New("functions cannot be run on this operating system")
	}
	s.control.fleet, err = newFleet(cmp.Or(o.Processes, defaultProcesses))
	return err
}

// New is a Server without a listener, to be mounted as an http.Handler.
func New(f Faults) (*Server, error) {
	s := &Server{plane: plane{begun: elapsed()}}
	if err := s.SetFaults(f); err != nil {
		return nil, err
	}
	s.control.init(&s.plane)
	s.mux = operations(s)
	return s, nil
}

// URL is the base URL of every service, without a trailing slash.
func (s *Server) URL() string { return s.url }

// SetFaults replaces the faults; requests under way keep those they began with.
func (s *Server) SetFaults(f Faults) error {
	if err := f.Validate(); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	s.plane.set(f)
	return nil
}

// Handle gives a function code of the caller's own, for all its versions, instead of getProducts.
func (s *Server) Handle(function string, h Handler) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.handlers[function] = h
	s.control.publishFunctions()
}

// Close ends everything that is under way and returns when nothing is left running.
func (s *Server) Close() error {
	s.closing.Lock()
	already := s.closed
	s.closed = true
	s.closing.Unlock()
	if already || s.http == nil {
		return nil
	}
	// Connections first: a request that is cancelled while its connection still works would answer an empty 200.
	err := s.http.Close()
	s.cancel()
	<-s.served
	s.handlers.Wait()
	if s.control.fleet != nil {
		s.control.fleet.close()
	}
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.handlers.Done()
	if to, ok := s.plane.target(r); ok {
		s.plane.serve(w, r, to)
		return
	}
	p := r.URL.Path
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/") // older clients end collections in a slash
	}
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p { // the mux would redirect, which no AWS service does
		unknownOperation(w, r)
		return
	}
	if p != r.URL.Path {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = p, strings.TrimSuffix(r.URL.RawPath, "/")
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) begin() bool {
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return false
	}
	s.handlers.Add(1)
	return true
}

func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: want host:port, such as 127.0.0.1:0", addr)
	}
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("address %q is not loopback: want 127.0.0.1 or [::1], the emulator has no access control", addr)
	}
	return nil
}
