package attack

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// What a zero in a Plan stands for.
const (
	DefaultTimeout           = 10 * time.Second
	DefaultConnections       = 1000
	DefaultClosedConnections = 64 // where the rate is zero
	DefaultUserAgent         = "coalmine"
)

// Plan says what is sent. Its zero fields mean what their comments say; only the target's URL has no default.
type Plan struct {
	Phase string // label of the windows

	// Epoch is when the run began; zero: now. Windows lie on the 100 ms grid that starts here, and a Run starts at
	// the next line of the grid, so that two phases never share a window.
	Epoch time.Time

	Target      vegeta.Target // an empty method is GET; a header "Host" sets the host
	Targets     []Target      // several in its place, each with a tally of its own; its headers go with all of them
	Path        string        // end of Target.URL that the paths of Targets take the place of
	Rate        vegeta.Rate   // hit i is due at i/Rate, exactly; zero: closed loop, as fast as the connections allow
	Pacer       Pacer         // when hits are due, instead of Rate; nil: Rate
	Duration    time.Duration // of due times; 0: until the context ends or the loop is left
	MaxHits     uint64        // 0: no limit
	Budget      *Budget       // shared with other loads; nil: no limit
	Keep        uint64        // so much of the budget is left alone
	MaxRate     float64       // hits per second, also while those that fell due in a stall are caught up; 0: twice the rate
	Connections int           // at most so many, and so many requests in flight; 0: 1,000, or 64 in a closed loop
	Timeout     time.Duration // from the moment of sending to the last byte of the answer; 0: 10 s

	// Patience is A of statistics.md 2.3b: a window is sealed at the latest so long after its end. It is asked before
	// each seal, so that it may be learned under way, from a goroutine of its own. nil, 0 and anything beyond Timeout
	// mean Timeout.
	Patience func() time.Duration

	Classify Classifier // nil: no hit names a version
	Expect   Expect     // zero: status 200, whatever the body

	Baseline, Canary string // the versions whose turns are counted; either empty: none are

	Warm      int    // connections opened before the first hit is due; 0: for 50 ms of hits, 64 at most, or all of a closed loop; negative: none
	ConnectTo string // where connections go instead of the URL's host: "ADDRESS:PORT" or "unix:PATH"; empty: all its addresses in turn
	HTTP2     bool   // by net/http, and nothing else than HTTP/2; a hit costs several times as much, and turns are not counted
	Proxy     string // URL of an HTTP proxy; by net/http, too; empty: none
	Engine    string // "": this package's; EngineVegeta: to compare with

	Insecure  bool   // the target's certificate is not verified
	UserAgent string // unless the target's headers have one; empty: "coalmine"
	RunID     string // sent as X-Coalmine-Run; empty: not sent

	Sign      Signer       // nil: requests are not signed
	Live      *Live        // nil: no header changes under way
	Hits      *HitLog      // told of every hit; nil: none is kept. Its owner closes it after the last run
	CacheBust CacheBust    // zero: hits are alike
	Trouble   func(string) // told, from a goroutine of its own, that requests could not be renewed; may be nil

	// RequestIDs sends a UUID of its own with every hit, as x-amzn-RequestId, and keeps those of unattributed hits in
	// their windows: API Gateway's access log knows them by it.
	RequestIDs bool
}

// Validate names the first field that cannot work and says what would. It sends nothing.
func (p Plan) Validate() error {
	if err := p.validateTargets(); err != nil {
		return err
	}
	switch {
	case p.Rate.Freq < 0:
		return fmt.Errorf("rate: %d hits are negative: want at least 1, or 0 for as fast as the connections allow", p.Rate.Freq)
	case p.Rate.Freq > 0 && p.Rate.Per <= 0:
		return fmt.Errorf("rate: %d hits per %v: want a positive time, as in 100 hits per 1s", p.Rate.Freq, p.Rate.Per)
	case p.Rate.Freq > 0 && time.Duration(p.Rate.Freq) > p.Rate.Per:
		return fmt.Errorf("rate: %d hits per %v: want at most one per nanosecond", p.Rate.Freq, p.Rate.Per)
	case p.Pacer != nil && p.Rate.Freq > 0:
		return errors.New("rate and pacer: both are given: want one of them")
	case p.Pacer != nil && p.MaxRate > 0 && p.Pacer.Peak() > p.MaxRate:
		return fmt.Errorf("pacer: %v hits per second at its peak are above the highest allowed, %v", p.Pacer.Peak(), p.MaxRate)
	case !(p.MaxRate >= 0):
		return fmt.Errorf("max rate: %v: want a positive number of hits per second, or 0 for twice the rate", p.MaxRate)
	case p.MaxRate > 0 && PerSecond(p.Rate) > p.MaxRate:
		return fmt.Errorf("rate: %v hits per second are above the highest allowed, %v", PerSecond(p.Rate), p.MaxRate)
	case p.Duration < 0:
		return fmt.Errorf("duration: %v is negative: want a positive time, or 0 for no end", p.Duration)
	case p.Connections < 0:
		return fmt.Errorf("connections: %d is negative: want at least 1, or 0 for the default", p.Connections)
	case p.Timeout < 0:
		return fmt.Errorf("timeout: %v is negative: want a positive time, or 0 for %v", p.Timeout, DefaultTimeout)
	case !validConnectTo(p.ConnectTo):
		return fmt.Errorf("connect to: %q: want ADDRESS:PORT like 127.0.0.1:443, or unix:PATH", p.ConnectTo)
	case p.Proxy != "" && !validProxy(p.Proxy):
		return errors.New("proxy: want a URL like http://proxy.example.com:3128")
	case p.Proxy != "" && (p.HTTP2 || p.ConnectTo != ""):
		return errors.New("proxy: with HTTP/2 or another place to connect to: want one of them")
	case p.hostOverPlainProxy():
		return errors.New("proxy: with a header Host and without TLS it would be asked for that host: want https, or one of them")
	case p.Engine != "" && p.Engine != EngineVegeta:
		return fmt.Errorf("engine: %q: want %q, or nothing for coalmine's own", p.Engine, EngineVegeta)
	case p.Engine != "" && (p.closedLoop() || len(p.Targets) > 0):
		return fmt.Errorf("engine: %s: want a rate and one target", p.Engine)
	case p.Baseline != "" && p.Baseline == p.Canary:
		return fmt.Errorf("baseline and canary: both are %q: want two versions", p.Baseline)
	case !validFieldValue(p.UserAgent):
		return errors.New("user-agent: holds a control character: want one line of text")
	case !validFieldValue(p.RunID):
		return errors.New("run id: holds a control character: want one line of text")
	}
	if err := p.validateSource(); err != nil {
		return err
	}
	if err := p.Expect.validate(); err != nil {
		return fmt.Errorf("expect: %w", err)
	}
	if p.Target.Method == http.MethodHead && len(p.Expect.JSON) > 0 {
		return errors.New("expect: json of a HEAD request, whose answer has no body: want method GET, or no json")
	}
	return nil
}

func validProxy(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "socks5")
}

// validateTarget never repeats the whole URL: it may hold a credential.
func validateTarget(t vegeta.Target) error {
	u, err := url.Parse(t.URL)
	switch {
	case t.URL == "":
		return errors.New("url: empty: want one like https://api.example.com/prod/products")
	case err != nil:
		return errors.New("url: cannot be parsed: want one like https://api.example.com/prod/products")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("url: scheme %q: want http or https", u.Scheme)
	case u.Hostname() == "":
		return errors.New("url: no host: want one like https://api.example.com/prod/products")
	case u.User != nil:
		return errors.New("url: holds credentials: want them in an Authorization header")
	}
	if t.Method != "" && !validToken(t.Method) {
		return fmt.Errorf("method: %q: want one like GET", t.Method)
	}
	for name, values := range t.Header {
		if !validToken(name) {
			return fmt.Errorf("header: the name %q: want letters, digits and hyphens", name)
		}
		for _, v := range values {
			if !validFieldValue(v) {
				return fmt.Errorf("header %s: holds a control character: want one line of text", name)
			}
		}
	}
	return nil
}

func hasHeader(h http.Header, name string) bool {
	for given := range h {
		if http.CanonicalHeaderKey(given) == name {
			return true
		}
	}
	return false
}

// validToken is RFC 9110's: methods and field names.
func validToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func validFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func (p Plan) closedLoop() bool { return p.Rate.Freq == 0 && p.Pacer == nil }

// PeakRate is the highest rate that is planned, in hits per second; 0 of a closed loop.
func (p Plan) PeakRate() float64 { return p.pacer().Peak() }

func (p Plan) pacer() Pacer {
	if p.Pacer != nil {
		return p.Pacer
	}
	return Schedule{p.Rate}
}

func (p Plan) connections() int {
	switch {
	case p.Connections > 0:
		return p.Connections
	case p.closedLoop():
		return DefaultClosedConnections
	}
	return DefaultConnections
}

func (p Plan) timeout() time.Duration {
	if p.Timeout == 0 {
		return DefaultTimeout
	}
	return p.Timeout
}

func (p Plan) patience() time.Duration {
	limit := p.timeout()
	if p.Patience == nil {
		return limit
	}
	if a := p.Patience(); a > 0 && a < limit {
		return a
	}
	return limit
}

// place names the target in messages: no query, which may hold a key.
func (p Plan) place() string {
	u, err := url.Parse(p.Target.URL)
	if err != nil {
		return methodOf(p.Target)
	}
	return methodOf(p.Target) + " " + u.Scheme + "://" + u.Host + u.EscapedPath()
}
