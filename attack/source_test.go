package attack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// sent parses what a source would send for a hit.
func sent(t *testing.T, next requests, n uint64) (*http.Request, *request) {
	t.Helper()
	r := next(n)
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.wire)))
	if err != nil {
		t.Fatalf("%v\n%s", err, r.wire)
	}
	return got, r
}

func newTestSource(t *testing.T, p Plan) *source {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := newSource(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSourceTakesTurns(t *testing.T) {
	post := weighing("POST", "/orders", 1)
	post.Body = []byte(`{"id":1}`)
	p := among(weighing("GET", "/products?page=2", 2), post)
	p.UserAgent, p.RunID = "coalmine/1", "run-7"
	next := newTestSource(t, p).connection()
	var got []string
	for n := range uint64(6) {
		r, hit := sent(t, next, n)
		if r.Header.Get("X-Api-Key") != "k" || r.Header.Get("X-Coalmine-Run") != "run-7" || r.UserAgent() != "coalmine/1" || r.Host != "api.example.com" {
			t.Errorf("%v", r.Header)
		}
		if hit.method != r.Method || hit.idempotent != (r.Method == "GET") || int(r.ContentLength) != len(p.Targets[hit.target].Body) {
			t.Errorf("%+v", hit)
		}
		got = append(got, r.Method+" "+r.RequestURI)
	}
	if want := "GET /prod/products?page=2,POST /prod/orders,GET /prod/products?page=2"; strings.Join(got, ",") != want+","+want {
		t.Errorf("%v", got)
	}
}

// Every hit has a value of its own, in the query or a header, and an id, and no hit allocates.
func TestSourceValuesOfEachHit(t *testing.T) {
	for _, bust := range []CacheBust{{Name: "nocache", Query: true}, {Name: "X-Nocache"}} {
		p := among(weighing("GET", "/products", 1), weighing("GET", "/orders?page=2", 1))
		p.CacheBust, p.RequestIDs = bust, true
		s := newTestSource(t, p)
		a, b := s.connection(), s.connection()
		seen := map[string]bool{}
		for n := range uint64(100) {
			next := a
			if n%3 == 0 {
				next = b
			}
			r, hit := sent(t, next, n)
			value := r.Header.Get("X-Nocache")
			if bust.Query {
				value = r.URL.Query().Get("nocache")
			}
			if seen[value] || len(value) != bustLength {
				t.Fatalf("%+v: %q comes again", bust, value)
			}
			if id := r.Header.Get(idHeader); id != hit.id.String() || seen[id] {
				t.Fatalf("id %s, sent %s", hit.id, id)
			}
			if page := r.URL.Query().Get("page"); (page == "2") != (hit.target == 1) {
				t.Errorf("page %q of target %d", page, hit.target)
			}
			seen[value], seen[hit.id.String()] = true, true
		}
		n := uint64(100)
		if allocs := testing.AllocsPerRun(100, func() { a(n); n++ }); allocs != 0 {
			t.Errorf("%+v: %v allocations a hit", bust, allocs)
		}
	}
	first, second := newTestSource(t, among(weighing("GET", "/", 1))), newTestSource(t, among(weighing("GET", "/", 1)))
	if bytes.Equal(first.bust[:8], second.bust[:8]) {
		t.Error("two loads have the same values")
	}
}

func TestParseCacheBust(t *testing.T) {
	if got, err := ParseCacheBust("query:v"); err != nil || got != (CacheBust{"v", true}) {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "query", "query:", "cookie:a", "query:a b", "header:a:b", "query:a&b=c"} {
		if got, err := ParseCacheBust(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// Headers that change under way are sent with the next renewal, hidden before and after, and what cannot be renewed is told once.
func TestSourceLive(t *testing.T) {
	live := new(Live)
	if err := live.Set("authorization", "Bearer one-secret"); err != nil {
		t.Fatal(err)
	}
	var told []string
	p := Plan{Target: vegeta.Target{URL: "http://127.0.0.1/"}, Live: live, Trouble: func(what string) { told = append(told, what) }}
	s := newTestSource(t, p)
	next := s.connection()
	check := func(want string, hidden ...string) {
		t.Helper()
		if r, _ := sent(t, next, 1); r.Header.Get("Authorization") != want {
			t.Errorf("%q, want %q", r.Header.Get("Authorization"), want)
		}
		for _, secret := range hidden {
			if shown := string(s.hidden().hide([]byte("it was " + secret + "."))); strings.Contains(shown, secret) {
				t.Error(shown)
			}
		}
	}
	check("Bearer one-secret", "one-secret")
	s.renewOnce(t.Context()) // nothing is new
	live.Set("Authorization", "Bearer another")
	check("Bearer one-secret", "one-secret")
	s.renewOnce(t.Context())
	check("Bearer another", "one-secret", "another")
	for range 2 {
		live.Trouble("header-command: exit status 1")
		s.renewOnce(t.Context())
	}
	check("Bearer another", "another")
	if len(told) != 1 || told[0] != "header-command: exit status 1" {
		t.Errorf("%q", told)
	}
	if live.Set("Authorization", "two\nlines") == nil || live.Set("a b", "c") == nil {
		t.Error("what is no header was taken")
	}
}

// A signature covers what all hits of a second share, is renewed, and kept where it cannot be.
func TestSourceSigned(t *testing.T) {
	count, broken := 0, false
	sign := func(_ context.Context, r *http.Request, body []byte, _ time.Time) error {
		if broken {
			return errors.New("no credentials")
		}
		count++
		r.Header.Set("Authorization", fmt.Sprintf("signed %d of %s %s %s", count, r.Method, r.URL.RequestURI(), body))
		return nil
	}
	var told []string
	post := weighing("POST", "/orders", 1)
	post.Body = []byte("body")
	p := among(post)
	p.Sign, p.RequestIDs, p.CacheBust, p.Trouble = sign, true, CacheBust{Name: "X-Nocache"}, func(what string) { told = append(told, what) }
	s := newTestSource(t, p)
	next := s.connection()
	check := func(want string) {
		t.Helper()
		if r, _ := sent(t, next, 1); r.Header.Get("Authorization") != want {
			t.Errorf("%q, want %q", r.Header.Get("Authorization"), want)
		}
	}
	check("signed 1 of POST /prod/orders body")
	s.renewOnce(t.Context())
	check("signed 2 of POST /prod/orders body")
	broken = true
	s.renewOnce(t.Context())
	s.renewOnce(t.Context())
	check("signed 2 of POST /prod/orders body")
	if len(told) != 1 || told[0] != "sign: no credentials" {
		t.Errorf("%q", told)
	}
	if _, err := Probe(t.Context(), p, 1); err == nil || !strings.Contains(err.Error(), "sign: no credentials") {
		t.Errorf("probe: %v", err)
	}
	broken, count = false, 0
	s.renewOnce(t.Context())
	check("signed 1 of POST /prod/orders body")

	p.CacheBust = CacheBust{Name: "v", Query: true} // part of what is signed
	s = newTestSource(t, p)
	next = s.connection()
	for n := range uint64(3) {
		r, hit := sent(t, next, n)
		if !strings.HasSuffix(r.Header.Get("Authorization"), " of POST "+r.RequestURI+" body") || r.Header.Get(idHeader) != hit.id.String() {
			t.Errorf("%s\n%s", r.RequestURI, r.Header)
		}
	}
}

func TestSourceRefuses(t *testing.T) {
	base := func(change func(*Plan)) Plan {
		p := Plan{Target: vegeta.Target{URL: "http://127.0.0.1/", Header: http.Header{"authorization": {"x"}, "X-Amzn-Requestid": {"y"}}}}
		change(&p)
		return p
	}
	live := new(Live)
	live.Set("Authorization", "z")
	for want, p := range map[string]Plan{
		"sigv4: the target has a header Authorization": base(func(p *Plan) { p.Sign = func(context.Context, *http.Request, []byte, time.Time) error { return nil } }),
		"sigv4: the target": base(func(p *Plan) {
			p.Target.Header, p.Live = nil, live
			p.Sign = func(context.Context, *http.Request, []byte, time.Time) error { return nil }
		}),
		"request-ids: the target has a header x-amzn-RequestId already": base(func(p *Plan) { p.RequestIDs = true }),
		"cache-bust: the target has a header authorization already":     base(func(p *Plan) { p.CacheBust.Name = "authorization" }),
		"cache-bust: header host has a meaning of its own":              base(func(p *Plan) { p.CacheBust.Name = "host" }),
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func BenchmarkSource(b *testing.B) {
	for name, change := range map[string]func(*Plan){
		"plain":   func(*Plan) {},
		"targets": func(p *Plan) { p.Targets = among(weighing("GET", "/a", 3), weighing("GET", "/b", 1)).Targets },
		"all":     func(p *Plan) { p.RequestIDs, p.CacheBust = true, CacheBust{Name: "v", Query: true} },
	} {
		b.Run(name, func(b *testing.B) {
			p := among()
			change(&p)
			s, err := newSource(b.Context(), p)
			if err != nil {
				b.Fatal(err)
			}
			next := s.connection()
			b.ReportAllocs()
			for n := range uint64(b.N) {
				next(n)
			}
		})
	}
}
