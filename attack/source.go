package attack

import (
	"bytes"
	"context"
	crypto "crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Signer signs a request for a time. It must not read the request's body, which it is given beside.
type Signer func(ctx context.Context, r *http.Request, body []byte, at time.Time) error

// renewEvery is how often requests are signed anew, and how soon another value of a live header is sent. Signature
// version 4 takes the same signature for five minutes, so the hits of a second may share one: a signature costs 14 us and
// 50 allocations (BenchmarkSign in package stage), more than all else that a hit costs. Refreshed credentials are used within a
// second, too.
const renewEvery = time.Second

// Live are headers whose values change while load goes out, of all targets alike.
type Live struct {
	mu      sync.Mutex
	values  map[string]string
	trouble string
	changes atomic.Uint64
}

// Set gives a header its value from now on. The value must be one line of text.
func (l *Live) Set(name, value string) error {
	if !validToken(name) || !validFieldValue(value) {
		return fmt.Errorf("header %s: want a name, and one line of text", name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.values == nil {
		l.values = make(map[string]string)
	}
	l.values[http.CanonicalHeaderKey(name)], l.trouble = value, ""
	l.changes.Add(1)
	return nil
}

// Trouble says that a value could not be renewed, and why: the old one is sent on.
func (l *Live) Trouble(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = what
	l.changes.Add(1)
}

// now is what is set, and the last trouble since.
func (l *Live) now() (values map[string]string, trouble string, changes uint64) {
	if l == nil {
		return nil, "", 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.values), l.trouble, l.changes.Load()
}

// CacheBust is a value of its own in each hit, so that no cache can answer in the target's place. The zero value is none.
type CacheBust struct {
	Name  string // of the query parameter, or the header
	Query bool
}

// ParseCacheBust reads query:NAME or header:NAME.
func ParseCacheBust(s string) (CacheBust, error) {
	kind, name, _ := strings.Cut(s, ":")
	if kind != "query" && kind != "header" || !validToken(name) || kind == "query" && url.QueryEscape(name) != name {
		return CacheBust{}, fmt.Errorf("%q: want query:NAME or header:NAME", s)
	}
	return CacheBust{Name: name, Query: kind == "query"}, nil
}

// bustLength is 8 digits of the load's own and 16 of the hit's number.
const bustLength = 24

// source makes the requests of one load.
type source struct {
	plan    Plan
	targets []Target
	order   rotation
	bust    [bustLength]byte // in the place of each hit's value, until that is known; its beginning is this load's own
	perHit  bool             // each hit's own value is signed, so each hit is signed
	now     atomic.Pointer[generation]
	trouble string // told last; belongs to whoever renews
}

// A generation is what all targets' requests are like for a second or for ever.
type generation struct {
	requests []template
	own      own    // what must not be shown of them, and of those before
	fresh    own    // of them alone
	changes  uint64 // of the live headers
	trouble  string // with these
	unsigned error  // why the requests are, if they should not be
}

// template is a request with the places of what differs from hit to hit; 0: it has none.
type template struct {
	request
	id, bust int
}

func newSource(ctx context.Context, p Plan) (*source, error) {
	s := &source{plan: p, targets: p.targets(), order: p.rotate()}
	var random [bustLength / 2]byte
	crypto.Read(random[:]) // never fails
	hex.Encode(s.bust[:], random[:])
	s.perHit = p.Sign != nil && p.CacheBust.Query
	g, err := s.generate(ctx)
	s.now.Store(g)
	return s, err
}

// generate serialises all targets as they are now. Where the signer fails they go unsigned: the answers will tell.
func (s *source) generate(ctx context.Context) (*generation, error) {
	values, trouble, changes := s.plan.Live.now()
	g := &generation{changes: changes, trouble: trouble}
	for i, t := range s.targets {
		request, r, err := s.serialise(ctx, t.Target, values, s.bust)
		if request.wire == nil {
			return g, err
		}
		if err != nil {
			g.unsigned = err
		}
		request.target = i
		made := template{request: request}
		if s.plan.RequestIDs {
			made.id = idPlace(request.wire)
		}
		if s.plan.CacheBust.Name != "" {
			made.bust = bytes.Index(request.wire, s.bust[:])
		}
		g.requests = append(g.requests, made)
		g.fresh = append(g.fresh, ownValues(vegeta.Target{URL: t.URL, Header: r.Header})...)
	}
	slices.SortFunc(g.fresh, longestFirst)
	g.fresh = slices.Compact(g.fresh)
	g.own = g.fresh
	return g, nil
}

// serialise writes a target as it goes over the wire, ids apart. It returns no wire where there cannot be one, and an
// unsigned one with an error where it could not be signed.
func (s *source) serialise(ctx context.Context, target vegeta.Target, live map[string]string, bust [bustLength]byte) (out request, r *http.Request, err error) {
	p := &s.plan
	target.Method = methodOf(target)
	header := make(http.Header)
	for name, values := range target.Header {
		for _, v := range values {
			header.Add(name, v)
		}
	}
	target.Header = header
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", orElse(p.UserAgent, DefaultUserAgent))
	}
	if p.RunID != "" {
		header.Set(runHeader, p.RunID)
	}
	for name, value := range live {
		header.Set(name, value)
	}
	if p.CacheBust.Query {
		target.URL = withQuery(target.URL, p.CacheBust.Name, string(bust[:]))
	}
	if r, err = target.Request(); err != nil {
		return out, nil, err
	}
	if p.Sign != nil {
		if err = p.Sign(ctx, r, target.Body, time.Now()); err != nil {
			err = fmt.Errorf("sign: %w", err)
		}
	}
	// What differs from hit to hit, and is not part of the URL, is not signed.
	if p.CacheBust.Name != "" && !p.CacheBust.Query {
		r.Header.Set(p.CacheBust.Name, string(bust[:]))
	}
	if p.RequestIDs {
		r.Header.Set(idHeader, RequestID{}.String())
	}
	var wire bytes.Buffer
	if failed := r.Write(&wire); failed != nil {
		return out, r, failed
	}
	return request{wire: wire.Bytes(), method: target.Method, idempotent: idempotent(target.Method)}, r, err
}

func withQuery(to, name, value string) string {
	to, fragment, _ := strings.Cut(to, "#")
	separator := "?"
	if strings.Contains(to, "?") {
		separator = "&"
	}
	if fragment != "" {
		fragment = "#" + fragment
	}
	return to + separator + name + "=" + value + fragment
}

// connection is the source of one connection's requests. Nothing is allocated for a hit, but where each is signed.
func (s *source) connection() requests {
	if !s.plan.RequestIDs && s.plan.CacheBust.Name == "" {
		return func(n uint64) *request { return &s.now.Load().requests[s.order.of(n)].request }
	}
	var r request
	ids := newIDs()
	bust := s.bust
	return func(n uint64) *request {
		t := &s.now.Load().requests[s.order.of(n)]
		wire := append(r.wire[:0], t.wire...)
		r = t.request
		r.wire = wire
		id := t.id
		if t.bust > 0 {
			number(bust[bustLength-16:], n)
			copy(r.wire[t.bust:], bust[:])
			if s.perHit {
				id = s.sign(&r, bust)
			}
		}
		if s.plan.RequestIDs {
			r.id = ids.next()
			r.id.put(r.wire[id:])
		}
		return &r
	}
}

// sign makes a request of its own for one hit, and says where its id is. Where that fails the hit goes out with the
// load's signature, which the target will refuse.
func (s *source) sign(r *request, bust [bustLength]byte) (id int) {
	values, _, _ := s.plan.Live.now()
	if own, _, err := s.serialise(context.Background(), s.targets[r.target].Target, values, bust); err == nil {
		r.wire = own.wire
	}
	return idPlace(r.wire)
}

// idPlace is where a request has its id.
func idPlace(wire []byte) int {
	return bytes.Index(wire, []byte("\r\n"+idHeader+": ")) + len("\r\n"+idHeader+": ")
}

// number writes 16 digits.
func number(into []byte, n uint64) {
	const digits = "0123456789abcdef"
	for i := 15; i >= 0; i-- {
		into[i] = digits[n&15]
		n >>= 4
	}
}

// changing reports whether requests have to be renewed under way.
func (s *source) changing() bool { return s.plan.Sign != nil || s.plan.Live != nil }

// renew keeps the requests fresh until ctx ends, and tells of trouble with that, each only once.
func (s *source) renew(ctx context.Context) {
	s.tell(s.now.Load())
	ticks := time.NewTicker(renewEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			s.renewOnce(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// renewOnce makes the next generation, unless it would be worse than this one: a signature that was good may still be.
func (s *source) renewOnce(ctx context.Context) {
	last := s.now.Load()
	if s.plan.Sign == nil && s.plan.Live.changes.Load() == last.changes {
		return
	}
	g, err := s.generate(ctx)
	if ctx.Err() != nil {
		return
	}
	s.tell(g)
	if err != nil || g.unsigned != nil && last.unsigned == nil {
		return
	}
	g.own = append(slices.Clone(g.fresh), last.fresh...)
	slices.SortFunc(g.own, longestFirst)
	s.now.Store(g)
}

func (s *source) tell(g *generation) {
	trouble := g.trouble
	if g.unsigned != nil {
		trouble = g.unsigned.Error()
	}
	if trouble != "" && trouble != s.trouble && s.plan.Trouble != nil {
		s.plan.Trouble(trouble)
	}
	s.trouble = trouble
}

// hidden is what must not be shown of the requests.
func (s *source) hidden() own { return s.now.Load().own }

// validateSource names what of the requests' making cannot work.
func (p Plan) validateSource() error {
	values, _, _ := p.Live.now()
	for i, t := range p.targets() {
		where := "target"
		if len(p.Targets) > 0 {
			where = fmt.Sprintf("target %d", i+1)
		}
		if p.RequestIDs && hasHeader(t.Header, idHeader) {
			return fmt.Errorf("request-ids: the %s has a header x-amzn-RequestId already: want one of them", where)
		}
		if p.Sign != nil && (hasHeader(t.Header, "Authorization") || values["Authorization"] != "") {
			return fmt.Errorf("sigv4: the %s has a header Authorization already, which the signature takes: want one of them", where)
		}
		if bust := p.CacheBust; bust.Name != "" && !bust.Query && hasHeader(t.Header, http.CanonicalHeaderKey(bust.Name)) {
			return fmt.Errorf("cache-bust: the %s has a header %s already", where, bust.Name)
		}
	}
	if bust := p.CacheBust; bust.Name != "" && !bust.Query && slices.Contains(reserved, textproto.CanonicalMIMEHeaderKey(bust.Name)) {
		return fmt.Errorf("cache-bust: header %s has a meaning of its own", bust.Name)
	}
	return nil
}

// reserved are headers that net/http writes by itself, or without which a request is no request.
var reserved = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade", "Expect", "User-Agent", runHeader, idHeader}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
