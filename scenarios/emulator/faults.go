package emulator

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults says how the emulated system misbehaves; the zero value is healthy and instant.
type Faults struct {
	Seed        uint64             `yaml:"seed"`        // every random choice about a request follows from it and the request's number
	Propagation time.Duration      `yaml:"propagation"` // stage changes reach the gateway's hosts one by one over this time
	Versions    map[string]Version `yaml:"versions"`    // by function version, "1"
	Gateway     Gateway            `yaml:"gateway"`
	Control     Control            `yaml:"control"`
	Logs        Logs               `yaml:"logs"`
	Lambda      Lambda             `yaml:"lambda"`
	CodeDeploy  []Deployment       `yaml:"codedeploy"` // that there are, or were
}

// Version says how one function version misbehaves. Errors, crashes and hangs exclude each other.
type Version struct {
	Errors    Share         `yaml:"errors"`     // 500s that the function answers itself, with its marker
	Crashes   Share         `yaml:"crashes"`    // unhandled: the gateway's anonymous 502
	Hang      Share         `yaml:"hang"`       // no answer until the integration timeout (29 s), then 504; a real function is killed at its own timeout before, 502
	Latency   Latency       `yaml:"latency"`    // of every answer
	Service   Service       `yaml:"service"`    // how many requests it can work on at once; the zero value: any number
	ColdStart time.Duration `yaml:"cold-start"` // added whenever a concurrent environment has to be started
	Marker    Marker        `yaml:"marker"`
}

// Gateway says how the gateway misbehaves.
type Gateway struct {
	Percent      *float64 `yaml:"percent"`       // canary percent that is applied, 0 to 100, whatever the stage says; nil: the stage's
	IgnoreCanary bool     `yaml:"ignore-canary"` // everything goes to the stage's own release
	Throttle     Rate     `yaml:"throttle"`      // requests allowed by a token bucket that holds half a second's worth; the rest gets 429; 0: no limit
	AccountRate  Rate     `yaml:"account-rate"`  // the account's limit, all APIs together, as GetAccount reports it; 0: 10000/s
	AccountBurst int      `yaml:"account-burst"` // requests that the account's bucket holds; 0: half a second's worth
	Cache        bool     `yaml:"cache"`         // answers to GET are kept for 300 s per deployment: both releases share one while they share a deployment
	Deny         []string `yaml:"deny"`          // aliases whose permission is missing in effect
	Stray        Stray    `yaml:"stray"`
}

// Control says how the control planes refuse: every request in AWS's order, first the signature, then the quotas, then the
// permission. Invoke counts as one of them, requests to an API's stages do not.
type Control struct {
	Throttle    Rate          `yaml:"throttle"`     // requests allowed, all services together, by a token bucket that holds half a second's worth; the rest gets 429 with Retry-After: 1; 0: no limit
	Quotas      bool          `yaml:"quotas"`       // API Gateway's documented ones: CreateDeployment 1 per 5 s, CreateResource 5/s, GetResources 5 per 2 s, DeleteRestApi 1 per 30 s, all together 10/s after a burst of 40; 429 with Retry-After
	Deny        []string      `yaml:"deny"`         // IAM actions that answer 403, such as apigateway:PATCH, lambda:UpdateAlias or lambda:Get*; upper and lower case are the same
	ExpireAfter time.Duration `yaml:"expire-after"` // since the server was made: from then on 403 ExpiredTokenException; 0: never
	Expired     bool          `yaml:"expired"`      // the same, at once
	ClockSkew   time.Duration `yaml:"clock-skew"`   // how far AWS's clock is ahead, negative: behind; a request whose X-Amz-Date is more than 5 min off gets 403 InvalidSignatureException
	Conflicts   int           `yaml:"conflicts"`    // the next so many changes to API Gateway, counted from when the faults were set, answer the 409 of a concurrent modification
	Role        string        `yaml:"role"`         // whose session the caller is, such as ci; "": the caller is a user
	AWSTags     bool          `yaml:"aws-tags"`     // tags that begin with aws: may be made by anybody, as CloudFormation makes them; they are refused otherwise
}

// Lambda says how large the account is.
type Lambda struct {
	Concurrency   int           `yaml:"concurrency"`    // concurrent executions of all functions; more get 429 from Lambda, and the gateway's anonymous 500; 0: 1000, AWS's default
	ProvisionTime time.Duration `yaml:"provision-time"` // until provisioned concurrency is ready, after it is asked for and after its alias is moved
}

func (l Lambda) concurrency() int { return cmp.Or(l.Concurrency, 1000) }

func (l Lambda) validate() error {
	if l.Concurrency < 0 {
		return fmt.Errorf("concurrency: %v is negative", l.Concurrency)
	}
	if l.ProvisionTime < 0 {
		return fmt.Errorf("provision-time: %v is negative", l.ProvisionTime)
	}
	return nil
}

// Deployment is one of CodeDeploy's that moves a Lambda alias. Nothing moves it here: it is said to be under way, or done.
type Deployment struct {
	Function string        `yaml:"function"`
	Alias    string        `yaml:"alias"`
	Status   string        `yaml:"status"` // Created, Queued, InProgress, Baking, Succeeded, Failed, Stopped or Ready
	Age      time.Duration `yaml:"age"`    // of the deployment, when the faults are set
}

func (d Deployment) validate() error {
	if !isName(d.Function) {
		return fmt.Errorf("function: %q is no function's name, such as getProducts", d.Function)
	}
	if !isName(d.Alias) {
		return fmt.Errorf("alias: %q is no alias, such as prod", d.Alias)
	}
	if !slices.Contains(deployStatuses, d.Status) {
		return fmt.Errorf("status: %q is none of %s", d.Status, strings.Join(deployStatuses, ", "))
	}
	if d.Age < 0 {
		return fmt.Errorf("age: %v is negative", d.Age)
	}
	return nil
}

// Logs says how CloudWatch Logs misbehaves.
type Logs struct {
	Delay time.Duration `yaml:"delay"` // from the end of a request until its access log event can be read
}

// Stray sends a share of the canary's requests to a version that is neither release's.
type Stray struct {
	Version string `yaml:"version"`
	Share   Share  `yaml:"share"`
}

// Latency is lognormal; a sigma of 0 makes it constant.
type Latency struct {
	Median time.Duration `yaml:"median"`
	Sigma  float64       `yaml:"sigma"` // of the logarithm; 0.5 puts p99 at 3.2 times the median
}

// Share of requests, 0 to 1; "5%" in text.
type Share float64

func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v >= 0 && v <= 100) || !percent && v != 0 {
		return fmt.Errorf(`share %q: want a percentage from 0%% to 100%%, such as "5%%"`, text)
	}
	*s = Share(v / 100)
	return nil
}

func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (s Share) String() string {
	// 14 digits: one less than what a division by 100 and its inverse can lose.
	return strconv.FormatFloat(roundTo(float64(s)*100, 14), 'f', -1, 64) + "%"
}

// Rate in requests per second; "100/s" in text.
type Rate float64

func (r *Rate) UnmarshalText(text []byte) error {
	number, perSecond := strings.CutSuffix(strings.TrimSpace(string(text)), "/s")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v >= 0 && v <= 1e9) || !perSecond && v != 0 {
		return fmt.Errorf(`rate %q: want requests per second, such as "100/s"`, text)
	}
	*r = Rate(v)
	return nil
}

func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
func (r Rate) String() string               { return strconv.FormatFloat(float64(r), 'f', -1, 64) + "/s" }

// Marker says where a function's answers name its version.
type Marker string

const (
	MarkHeader Marker = "header" // X-Lambda-Version
	MarkBody   Marker = "body"
	MarkBoth   Marker = "both" // what "" means
	MarkNone   Marker = "none"
)

func (m *Marker) UnmarshalText(text []byte) error {
	*m = Marker(text)
	return m.validate()
}

func (m Marker) validate() error {
	switch m {
	case "", MarkHeader, MarkBody, MarkBoth, MarkNone:
		return nil
	}
	return fmt.Errorf(`marker %q: want "header", "body", "both" or "none"`, string(m))
}

func (m Marker) inHeader() bool { return m == MarkHeader || m == MarkBoth || m == "" }
func (m Marker) inBody() bool   { return m == MarkBody || m == MarkBoth || m == "" }

// Validate names the first field that cannot be, as it is spelled in a file.
func (f Faults) Validate() error {
	if f.Propagation < 0 {
		return fmt.Errorf("propagation: %v is negative", f.Propagation)
	}
	for _, number := range slices.Sorted(maps.Keys(f.Versions)) {
		if !isVersion(number) {
			return fmt.Errorf(`versions.%s: want a function version, such as "2"`, number)
		}
		if err := f.Versions[number].validate(); err != nil {
			return fmt.Errorf("versions.%s.%w", number, err)
		}
	}
	if err := f.Gateway.validate(); err != nil {
		return fmt.Errorf("gateway.%w", err)
	}
	if err := f.Control.validate(); err != nil {
		return fmt.Errorf("control.%w", err)
	}
	if err := f.Lambda.validate(); err != nil {
		return fmt.Errorf("lambda.%w", err)
	}
	for i, d := range f.CodeDeploy {
		if err := d.validate(); err != nil {
			return fmt.Errorf("codedeploy[%d].%w", i, err)
		}
	}
	if f.Logs.Delay < 0 {
		return fmt.Errorf("logs.delay: %v is negative", f.Logs.Delay)
	}
	return nil
}

func (v Version) validate() error {
	if err := v.Errors.validate(); err != nil {
		return fmt.Errorf("errors: %w", err)
	}
	if err := v.Crashes.validate(); err != nil {
		return fmt.Errorf("crashes: %w", err)
	}
	if err := v.Hang.validate(); err != nil {
		return fmt.Errorf("hang: %w", err)
	}
	if sum := v.Errors + v.Crashes + v.Hang; sum > 1+1e-9 {
		return fmt.Errorf("errors: with crashes and hang they make %v of the requests, more than all", sum)
	}
	if v.Latency.Median < 0 {
		return fmt.Errorf("latency.median: %v is negative", v.Latency.Median)
	}
	if s := v.Latency.Sigma; !(s >= 0 && s <= 5) {
		return fmt.Errorf("latency.sigma: %v is not from 0 to 5", s)
	}
	if err := v.Service.validate(v.Latency); err != nil {
		return fmt.Errorf("service.%w", err)
	}
	if v.ColdStart < 0 {
		return fmt.Errorf("cold-start: %v is negative", v.ColdStart)
	}
	if err := v.Marker.validate(); err != nil {
		return err
	}
	return nil
}

func (g Gateway) validate() error {
	if p := g.Percent; p != nil && !(*p >= 0 && *p <= 100) {
		return fmt.Errorf("percent: %v is not from 0 to 100", *p)
	}
	if err := g.Throttle.validate(); err != nil {
		return fmt.Errorf("throttle: %w", err)
	}
	if err := g.AccountRate.validate(); err != nil {
		return fmt.Errorf("account-rate: %w", err)
	}
	if g.AccountBurst < 0 {
		return fmt.Errorf("account-burst: %d is negative", g.AccountBurst)
	}
	for i, alias := range g.Deny {
		if alias == "" {
			return fmt.Errorf("deny[%d]: want an alias, such as staging", i)
		}
	}
	if err := g.Stray.Share.validate(); err != nil {
		return fmt.Errorf("stray.share: %w", err)
	}
	if g.Stray.Share > 0 && !isVersion(g.Stray.Version) {
		return fmt.Errorf(`stray.version: %q is no function version, such as "3"`, g.Stray.Version)
	}
	return nil
}

const (
	accountRate  = 10000 // requests per second, in most regions
	accountBurst = 5000
)

func (g Gateway) accountLimits() (rate Rate, burst int) {
	rate, burst = cmp.Or(g.AccountRate, accountRate), g.AccountBurst
	if burst == 0 {
		burst = max(int(rate/2), 1)
	}
	return rate, burst
}

func (c Control) validate() error {
	if err := c.Throttle.validate(); err != nil {
		return fmt.Errorf("throttle: %w", err)
	}
	for i, action := range c.Deny {
		if service, name, found := strings.Cut(action, ":"); action != "*" && (!found || service == "" || name == "") {
			return fmt.Errorf("deny[%d]: %q is no IAM action, such as apigateway:PATCH or lambda:*", i, action)
		}
	}
	if c.Role != "" && !isName(c.Role) {
		return fmt.Errorf("role: %q is no role's name, such as ci", c.Role)
	}
	if c.ExpireAfter < 0 {
		return fmt.Errorf("expire-after: %v is negative", c.ExpireAfter)
	}
	if c.Conflicts < 0 {
		return fmt.Errorf("conflicts: %d is negative", c.Conflicts)
	}
	return nil
}

func (r Rate) validate() error {
	if v := float64(r); !(v >= 0) || math.IsInf(v, 0) {
		return fmt.Errorf("%v is not a rate", v)
	}
	return nil
}

func (s Share) validate() error {
	if !(s >= 0 && s <= 1) {
		return fmt.Errorf("%v is not from 0%% to 100%%", s)
	}
	return nil
}

// isVersion takes what Lambda calls published versions, and $LATEST.
func isVersion(s string) bool { return s == latest || isNumber(s) }

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func roundTo(v float64, digits int) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	return r
}
