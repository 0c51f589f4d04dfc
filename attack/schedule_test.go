package attack

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

func TestScheduleIsExact(t *testing.T) {
	check := func(freq int, per time.Duration, i uint64, want time.Duration) {
		t.Helper()
		if got := (Schedule{vegeta.Rate{Freq: freq, Per: per}}).Due(i); got != want {
			t.Errorf("hit %d at %d per %v: due at %d ns, want %d", i, freq, per, got, want)
		}
	}
	check(1000, time.Second, 0, 0)
	check(1000, time.Second, 1, time.Millisecond)
	check(1000, time.Second, 1e9, 1e6*time.Second)
	check(3, time.Second, 1, 333333333)
	check(3, time.Second, 3, time.Second)
	check(3, time.Second, 3e9, 1e9*time.Second) // an interval rounded to nanoseconds would be 1 s off
	check(7, time.Minute, 7e8, 1e8*time.Minute)
	check(300, 7*time.Second, 3e9, 7e7*time.Second)
}

// DueBefore counts what Due schedules, at every edge.
func TestDueBeforeInvertsDue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		s := Schedule{vegeta.Rate{Freq: 1 + random.IntN(200000), Per: time.Duration(1+random.IntN(100)) * 100 * time.Millisecond}}
		i := random.Uint64N(4e9)
		due := s.Due(i)
		// Exactly i*per/freq, rounded down.
		exact := new(big.Int).Mul(new(big.Int).SetUint64(i), big.NewInt(int64(s.Rate.Per)))
		exact.Div(exact, big.NewInt(int64(s.Rate.Freq)))
		if exact.IsInt64() && exact.Int64() != int64(due) {
			t.Fatalf("%v hit %d: due at %d, exactly %d", s.Rate, i, due, exact)
		}
		if before := s.DueBefore(due); before > i || before < i && s.Due(before) < due {
			t.Fatalf("%v: %d hits before hit %d at %d", s.Rate, before, i, due)
		}
		if after := s.DueBefore(due + 1); after <= i || s.Due(after) <= due {
			t.Fatalf("%v: %d hits up to hit %d at %d", s.Rate, after, i, due)
		}
	}
}

// Windows share out all hits, whatever the rate.
func TestWindowsShareOutTheSchedule(t *testing.T) {
	for _, freq := range []int{1, 3, 7, 10, 99, 333, 1001} {
		s := Schedule{perSecond(freq)}
		var sum uint64
		for end := WindowLength; end <= 100*time.Second; end += WindowLength {
			sum += s.DueBefore(end) - s.DueBefore(end-WindowLength)
		}
		if sum != uint64(100*freq) {
			t.Errorf("%d/s: %d hits in 100 s", freq, sum)
		}
	}
}

// However long a stall, and whoever asks however often: at most twice the rate and the slack.
func TestCatchUpIsBounded(t *testing.T) {
	for _, freq := range []int{10, 100, 1000, 20000} {
		c := newCatchUp(float64(freq), 0)
		sent := 0
		for now := time.Duration(0); now < time.Second; now += 50 * time.Microsecond {
			for c.free() <= now && sent < 1e6 {
				c.take(now)
				sent++
			}
		}
		most := 2*freq + int(2*float64(freq)*catchUpSlack.Seconds()) + 1
		if sent > most || sent < 2*freq {
			t.Errorf("%d/s: %d hits in a second, want at most %d and at least %d", freq, sent, most, 2*freq)
		}
	}
}

// A rate that is forbidden is not reached while catching up either, but for the slack.
func TestCatchUpBelowTheHighestRate(t *testing.T) {
	c, sent := newCatchUp(1000, 1200), 0
	for now := time.Duration(0); now < time.Second; now += 50 * time.Microsecond {
		for c.free() <= now {
			c.take(now)
			sent++
		}
	}
	if sent > 1200+13 || sent < 1200 {
		t.Errorf("%d hits in a second, want 1,200 and the slack", sent)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	good := Plan{Target: target("https://api.example.com/prod/products"), Rate: perSecond(10)}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	check := func(change func(*Plan), want string) {
		t.Helper()
		p := good
		change(&p)
		if err := p.Validate(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	check(func(p *Plan) { p.Target.URL = "" }, "target: url: empty: want one like https://api.example.com/prod/products")
	check(func(p *Plan) { p.Target.URL = "ftp://a" }, `target: url: scheme "ftp": want http or https`)
	check(func(p *Plan) { p.Target.URL = "http://\x00" }, "target: url: cannot be parsed: want one like https://api.example.com/prod/products")
	check(func(p *Plan) { p.Target.URL = "http:///a" }, "target: url: no host: want one like https://api.example.com/prod/products")
	check(func(p *Plan) { p.Target.URL = "http://me:secret@a/" }, "target: url: holds credentials: want them in an Authorization header")
	check(func(p *Plan) { p.Target.Method = "GET /" }, `target: method: "GET /": want one like GET`)
	check(func(p *Plan) { p.Target.Header = map[string][]string{"a b": nil} }, `target: header: the name "a b": want letters, digits and hyphens`)
	check(func(p *Plan) { p.Target.Header = map[string][]string{"A": {"b\r\nc"}} }, "target: header A: holds a control character: want one line of text")
	check(func(p *Plan) { p.Rate.Freq = -1 }, "rate: -1 hits are negative: want at least 1, or 0 for as fast as the connections allow")
	check(func(p *Plan) { p.Rate.Per = 0 }, "rate: 10 hits per 0s: want a positive time, as in 100 hits per 1s")
	check(func(p *Plan) { p.Rate = vegeta.Rate{Freq: 2, Per: 1} }, "rate: 2 hits per 1ns: want at most one per nanosecond")
	check(func(p *Plan) { p.MaxRate = 5 }, "rate: 10 hits per second are above the highest allowed, 5")
	check(func(p *Plan) { p.MaxRate = -1 }, "max rate: -1: want a positive number of hits per second, or 0 for twice the rate")
	check(func(p *Plan) { p.Duration = -1 }, "duration: -1ns is negative: want a positive time, or 0 for no end")
	check(func(p *Plan) { p.Connections = -1 }, "connections: -1 is negative: want at least 1, or 0 for the default")
	check(func(p *Plan) { p.Timeout = -1 }, "timeout: -1ns is negative: want a positive time, or 0 for 10s")
	check(func(p *Plan) { p.Baseline, p.Canary = "1", "1" }, `baseline and canary: both are "1": want two versions`)
	check(func(p *Plan) { p.UserAgent = "a\nb" }, "user-agent: holds a control character: want one line of text")
	check(func(p *Plan) { p.RunID = "a\nb" }, "run id: holds a control character: want one line of text")
	check(func(p *Plan) { p.Expect.Status = []int{99} }, "expect: status 99: want 100 to 599")
	check(func(p *Plan) { p.Expect.JSON = map[string]Shape{"products": {}} }, `expect: json: JSON pointer "products": want a leading slash, as in /version`)
	check(func(p *Plan) { p.Expect.JSON = map[string]Shape{"/a": {MinItems: -1}} }, "expect: json: /a: min-items -1 is negative: want at least 0")
	check(func(p *Plan) { p.Target.Method = "HEAD"; p.Expect.JSON = map[string]Shape{"/a": {}} }, "expect: json of a HEAD request, whose answer has no body: want method GET, or no json")
}
