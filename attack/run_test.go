package attack

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRunCountsEveryDueHit(t *testing.T) {
	s := versions(t)
	check := noLeak(t)
	got := attack(t, Plan{
		Phase: "during", Target: target(s.URL), Rate: perSecond(500), Duration: time.Second,
		Classify: byHeader(t), Baseline: "1", Canary: "2",
	})
	s.CloseClientConnections()
	check()
	if got.windows != 10 || got.Due != 500 || got.Sent != 500 || got.Hits != 500 || got.Pending != 0 {
		t.Errorf("%d windows, %d due, %d sent, %d hits, %d pending: want 10, then 500 thrice, and none", got.windows, got.Due, got.Sent, got.Hits, got.Pending)
	}
	if one, two := got.all.Arms["1"], got.all.Arms["2"]; one == nil || two == nil || one.Hits != 250 || two.Hits != 250 {
		t.Errorf("arms %v", got.all.Arms)
	}
	if n := got.Wake.Total() + got.Blocked.Total(); n != 500 {
		t.Errorf("lateness of %d hits", n)
	}
	if n := got.response().Total(); n != 500 || got.service().Total() != 500 {
		t.Errorf("%d response times", n)
	}
	if n := got.Turns.Same + got.Turns.Switched; n < 300 {
		t.Errorf("%d turns of 500 answers", n)
	}
}

// Two runs of one epoch lie on one grid and share no window.
func TestRunsOfOneEpochShareNoWindow(t *testing.T) {
	t.Parallel()
	s := versions(t)
	epoch := time.Now()
	last := int64(-1)
	for _, phase := range []string{"before", "during"} {
		for w := range Run(t.Context(), Plan{Phase: phase, Epoch: epoch, Target: target(s.URL), Rate: perSecond(50), Duration: 250 * time.Millisecond}) {
			if w.Index <= last || w.Phase != phase {
				t.Errorf("window %d of %q after %d", w.Index, w.Phase, last)
			}
			if tally := w.Unattributed[Unrecognised]; tally != nil && tally.First < w.Start {
				t.Errorf("window %d of %v was answered at %v", w.Index, w.Start, tally.First)
			}
			last = w.Index
		}
		time.Sleep(30 * time.Millisecond)
	}
	if last < 5 {
		t.Errorf("last window is %d", last)
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	s := versions(t)
	check := func(name string, p Plan, windows int, due uint64) {
		t.Helper()
		p.Target = target(s.URL)
		if got := attack(t, p); windows > 0 && got.windows != windows || got.Due != due || got.Hits != due {
			t.Errorf("%s: %d windows, %d due, %d hits: want %d, %d", name, got.windows, got.Due, got.Hits, windows, due)
		}
	}
	check("hits first", Plan{Rate: perSecond(100), Duration: time.Minute, MaxHits: 15}, 2, 15)
	check("duration first", Plan{Rate: perSecond(100), Duration: 200 * time.Millisecond, MaxHits: 1000}, 2, 20)
	check("duration off the grid", Plan{Rate: perSecond(100), Duration: 215 * time.Millisecond}, 3, 22)
	check("windows without hits", Plan{Rate: perSecond(4), Duration: 400 * time.Millisecond}, 4, 2)
	check("closed loop", Plan{Duration: time.Minute, MaxHits: 40, Connections: 4}, 0, 40)
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	s := versions(t)
	got := attack(t, Plan{Target: target(s.URL), Duration: 300 * time.Millisecond, Connections: 3, Classify: byHeader(t)})
	if got.windows != 3 || got.Due < 10 || got.Sent != got.Due || got.Hits != got.Due {
		t.Errorf("%d windows, %d due, %d sent, %d hits", got.windows, got.Due, got.Sent, got.Hits)
	}
	if got.Wake.Total() != got.Due || got.Wake.Quantile(1) > 20*time.Microsecond {
		t.Errorf("lateness of a closed loop: %d hits, up to %v", got.Wake.Total(), got.Wake.Quantile(1))
	}
}

// frozen answers at once but for one stretch of time, in which it does not answer at all.
func frozen(t testing.TB, from, length time.Duration) string {
	begin := time.Now()
	return rawServer(t, func(conn net.Conn, _ int) {
		if at := time.Since(begin); at > from && at < from+length {
			time.Sleep(from + length - at)
		}
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	}).url
}

// A target that stops for a second makes everybody wait who came in that second, not only the four requests that
// hold the connections.
func TestFrozenTargetIsChargedToTheTarget(t *testing.T) {
	t.Parallel()
	got := attack(t, Plan{Target: target(frozen(t, 300*time.Millisecond, time.Second)), Rate: perSecond(100), Duration: 3 * time.Second, Connections: 4})
	if got.Due != 300 || got.Hits != 300 || got.Pending+got.late != 0 {
		t.Fatalf("%d due, %d hits, %d pending, %d late", got.Due, got.Hits, got.Pending, got.late)
	}
	if p99 := got.response().Quantile(0.99); p99 < 930*time.Millisecond || p99 > 1300*time.Millisecond {
		t.Errorf("p99 of response %v: want near 970ms", p99)
	}
	if p80 := got.response().Quantile(0.8); p80 < 400*time.Millisecond {
		t.Errorf("p80 of response %v: a third of all came while it was frozen", p80)
	}
	if p97 := got.service().Quantile(0.97); p97 > 300*time.Millisecond {
		t.Errorf("p97 of service %v: only four requests were slow", p97)
	}
	if n := got.Blocked.Total(); n < 90 || got.Blocked.Quantile(1) < 900*time.Millisecond {
		t.Errorf("%d hits blocked, up to %v", n, got.Blocked.Quantile(1))
	}
	if n := got.Wake.Total(); n < 5 || n+got.Blocked.Total() != 300 || got.Wake.Quantile(1) > 600*time.Millisecond {
		t.Errorf("%d hits late for our own reasons, up to %v", n, got.Wake.Quantile(1))
	}
	t.Logf("response p99 %v, service p97 %v, blocked %d hits p50 %v, wake p50 %v p99 %v", got.response().Quantile(0.99), got.service().Quantile(0.97),
		got.Blocked.Total(), got.Blocked.Quantile(0.5), got.Wake.Quantile(0.5), got.Wake.Quantile(0.99))
}

// After the stall the target is not hit by everything that waited at once.
func TestCatchUpIsSpread(t *testing.T) {
	t.Parallel()
	var after atomic.Int64
	begin := time.Now()
	thaw := 700 * time.Millisecond
	s := rawServer(t, func(conn net.Conn, _ int) {
		if at := time.Since(begin); at > 200*time.Millisecond && at < thaw {
			time.Sleep(thaw - at)
		} else if at >= thaw && at < thaw+200*time.Millisecond {
			after.Add(1)
		}
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	})
	attack(t, Plan{Target: target(s.url), Rate: perSecond(200), Duration: 1500 * time.Millisecond, Connections: 8})
	// Twice the rate for 0.2 s are 80, and the slack 4; at once it would be the 100 that waited, and 40 more.
	if n := after.Load(); n < 20 || n > 110 {
		t.Errorf("%d requests in the 200 ms after the stall: want about 84", n)
	}
}

// Sealed after its patience a window counts who did not answer; the answers come late, and all adds up.
func TestPendingAndLate(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%10 == 0 {
			time.Sleep(500 * time.Millisecond)
		}
		w.Header().Set("X-Lambda-Version", "1")
	}))
	defer s.Close()
	got := new(sum)
	slow := 0
	patient := func() time.Duration { return 200 * time.Millisecond }
	for w := range Run(t.Context(), Plan{Target: target(s.URL), Rate: perSecond(200), Duration: time.Second, Classify: byHeader(t), Patience: patient}) {
		for _, l := range w.Late {
			if l.Arms["1"].Response.Quantile(1) > 500*time.Millisecond {
				slow++
			}
		}
		got.add(t, w)
	}
	if got.Due != 200 || got.Hits+got.Pending != 200 || got.Hits < 100 || got.Pending < 18 {
		t.Errorf("%d due, %d hits, %d pending", got.Due, got.Hits, got.Pending)
	}
	// Those of the last windows find no window to be late in.
	still := got.Pending - got.late
	if slow == 0 || got.late < 8 || still < 2 || got.all.Arms["1"].Hits+still != got.Due {
		t.Errorf("%d late of %d pending, %d answered of %d", got.late, got.Pending, got.all.Arms["1"].Hits, got.Due)
	}
	if len(got.errors()) != 0 {
		t.Errorf("errors %v: what was cancelled at the end is pending", got.errors())
	}
}

// Patience is asked again under way.
func TestPatienceMayShrink(t *testing.T) {
	t.Parallel()
	s := rawServer(t, func(net.Conn, int) {})
	var patience atomic.Int64
	patience.Store(int64(time.Minute))
	time.AfterFunc(300*time.Millisecond, func() { patience.Store(int64(100 * time.Millisecond)) })
	began := time.Now()
	got := attack(t, Plan{Target: target(s.url), Rate: perSecond(20), Duration: 200 * time.Millisecond, Patience: func() time.Duration { return time.Duration(patience.Load()) }})
	if took := time.Since(began); got.Pending != 4 || took > 1200*time.Millisecond {
		t.Errorf("%d pending after %v", got.Pending, took)
	}
}

func TestCancelStopsAtOnce(t *testing.T) {
	// Half hang for good; the others answer.
	s := rawServer(t, func(conn net.Conn, nth int) {
		if nth%2 == 0 {
			conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		}
	})
	check := func(name string, p Plan) {
		t.Helper()
		leak := noLeak(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var cancelled time.Time
		time.AfterFunc(250*time.Millisecond, func() { cancelled = time.Now(); cancel() })
		p.Target = target(s.url)
		got := new(sum)
		for w := range Run(ctx, p) {
			got.add(t, w)
		}
		if took := time.Since(cancelled); took > 100*time.Millisecond {
			t.Errorf("%s: stopped after %v", name, took)
		}
		s.closeAll()
		leak()
		if len(got.errors()) != 0 || got.Hits == 0 || got.Pending == 0 {
			t.Errorf("%s: %d hits, %d pending, errors %v: want some, some, none", name, got.Hits, got.Pending, got.errors())
		}
		if got.windows < 1 || got.windows > 5 {
			t.Errorf("%s: %d windows", name, got.windows)
		}
	}
	check("open loop", Plan{Rate: perSecond(200)})
	check("open loop, blocked", Plan{Rate: perSecond(200), Connections: 3})
	check("closed loop", Plan{Connections: 5})
}

// Opening a connection ends with the context, too.
func TestCancelDuringHandshake(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	leak := noLeak(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var cancelled time.Time
	time.AfterFunc(250*time.Millisecond, func() { cancelled = time.Now(); cancel() })
	got := new(sum)
	for w := range Run(ctx, Plan{Target: target("https://" + silent.Addr().String()), Rate: perSecond(50), Warm: -1}) {
		got.add(t, w)
	}
	if took := time.Since(cancelled); took > 100*time.Millisecond || got.Sent == 0 || got.Pending != got.Due {
		t.Errorf("stopped after %v, %d due, %d sent, %d pending", took, got.Due, got.Sent, got.Pending)
	}
	leak()
}

// Before the load has begun, too.
func TestCancelWhileConnectionsOpen(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	leak := noLeak(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var cancelled time.Time
	time.AfterFunc(50*time.Millisecond, func() { cancelled = time.Now(); cancel() })
	for w := range Run(ctx, Plan{Target: target("https://" + silent.Addr().String()), Rate: perSecond(50)}) {
		t.Errorf("a window of nothing: %+v", w)
	}
	if took := time.Since(cancelled); took > 100*time.Millisecond {
		t.Errorf("stopped after %v", took)
	}
	leak()
}

func TestCancelBeforeTheFirstWindow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for w := range Run(ctx, Plan{Target: target("http://127.0.0.1:1"), Rate: perSecond(10)}) {
		t.Errorf("a window of nothing: %+v", w)
	}
}

func TestLeavingTheLoopStopsTheLoad(t *testing.T) {
	var n atomic.Int64
	s := rawServer(t, func(conn net.Conn, nth int) {
		if n.Add(1)%20 != 0 {
			conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		}
	})
	leak := noLeak(t)
	var left time.Time
	for w := range Run(t.Context(), Plan{Target: target(s.url), Rate: perSecond(300), Patience: func() time.Duration { return 100 * time.Millisecond }}) {
		if w.Index >= 2 {
			left = time.Now()
			break
		}
	}
	if took := time.Since(left); took > 100*time.Millisecond {
		t.Errorf("stopped after %v", took)
	}
	sent := n.Load()
	s.closeAll()
	leak()
	if n.Load() != sent {
		t.Error("requests after the loop was left")
	}
}

// A reader that sleeps gets its windows late, but they are the same windows.
func TestSlowReaderDoesNotSlowTheLoad(t *testing.T) {
	t.Parallel()
	s := versions(t)
	got := new(sum)
	for w := range Run(t.Context(), Plan{Target: target(s.URL), Rate: perSecond(200), Duration: 600 * time.Millisecond}) {
		got.add(t, w)
		if got.windows == 1 {
			time.Sleep(800 * time.Millisecond)
		}
	}
	if got.Sent != 120 || got.Hits != 120 || got.response().Quantile(0.9) > 200*time.Millisecond {
		t.Errorf("%d sent, %d hits, p90 %v", got.Sent, got.Hits, got.response().Quantile(0.9))
	}
}

// Whatever a server does, hits go out when they are due, none hangs, and nothing is left.
func TestBadServersDoNotSlowTheLoad(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\n"
	huge := make([]byte, 100<<20)
	var loads, closing []func()
	for _, c := range []struct {
		name   string
		answer func(net.Conn, int)
		class  Class
		rate   int
	}{
		{"garbage", says("220 mail.example.com ESMTP\n\n", false), Transport, 200},
		{"closes in the body", says(ok+"Content-Length: 20\n\nhalf", true), Truncated, 200},
		{"never answers", func(net.Conn, int) {}, Timeout, 200},
		{"sends a header for ever", func(conn net.Conn, _ int) {
			conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
			for _, err := conn.Write([]byte("A: b\r\n")); err == nil; _, err = conn.Write(huge[:1024]) {
			}
		}, Transport, 100},
		{"sends a body for ever", func(conn net.Conn, _ int) {
			conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
			for _, err := conn.Write(huge[:4096]); err == nil; _, err = conn.Write(huge[:4096]) {
				time.Sleep(10 * time.Millisecond)
			}
		}, Timeout, 50},
		{"sends 100 MB", func(conn net.Conn, _ int) {
			conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n"))
			conn.Write(huge)
		}, "", 5},
		{"answers twice", func(conn net.Conn, _ int) {
			conn.Write([]byte(strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 2)))
		}, "", 200},
		{"closes after each answer", says(ok+"Connection: close\nContent-Length: 0\n\n", true), "", 200},
		{"answers before it has read, and closes", func(conn net.Conn, _ int) {
			conn.Write([]byte("HTTP/1.0 413 No\r\n\r\n"))
			conn.Close()
		}, ClientError, 200},
	} {
		s := rawServer(t, c.answer)
		closing = append(closing, s.closeAll)
		timeout := 10 * time.Second
		if c.class == Timeout {
			timeout = 300 * time.Millisecond
		}
		loads = append(loads, func() {
			got := attack(t, Plan{Target: target(s.url), Rate: perSecond(c.rate), Duration: 200 * time.Millisecond, Timeout: timeout})
			due, ended := uint64(c.rate/5), got.Hits+got.late
			// The last windows are sealed a timeout after their end, so that a hit sent a little late may not have timed out yet.
			if some := c.class == Timeout && ended > 0; got.Due != due || got.Sent != due || ended != due && !some {
				t.Errorf("%s: %d due, %d sent, %d answered", c.name, got.Due, got.Sent, ended)
			}
			if e := got.errors(); c.class == "" && len(e) > 0 || c.class != "" && e[c.class] != ended {
				t.Errorf("%s: %v, want %q", c.name, e, c.class)
			}
			if n := got.Blocked.Total(); n > 0 {
				t.Errorf("%s: %d hits waited for a connection", c.name, n)
			}
		})
	}
	leak := noLeak(t)
	var all sync.WaitGroup // at once: what they take is waiting
	for _, load := range loads {
		all.Go(load)
	}
	all.Wait()
	for _, end := range closing {
		end()
	}
	leak()
}

func TestTooManyVersions(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Lambda-Version", "request-"+time.Duration(n.Add(1)).String())
	}))
	defer s.Close()
	got := attack(t, Plan{Target: target(s.URL), MaxHits: 100, Connections: 2, Classify: byHeader(t)})
	if len(got.all.Arms) != MaxVersions || got.all.Unattributed[TooManyVersions] == nil || got.all.Unattributed[TooManyVersions].Hits != 100-MaxVersions {
		t.Errorf("%d arms, unattributed %v", len(got.all.Arms), got.all.Unattributed)
	}
}

// A server that always sends the same connection the same version, and one that alternates.
func TestTurns(t *testing.T) {
	t.Parallel()
	answer := func(version byte) []byte {
		return []byte("HTTP/1.1 200 OK\r\nX-Lambda-Version: " + string(version) + "\r\nContent-Length: 0\r\n\r\n")
	}
	sticky := rawServer(t, func(conn net.Conn, nth int) {
		port := conn.RemoteAddr().(*net.TCPAddr).Port
		conn.Write(answer('1' + byte(port%2)))
	})
	switching := rawServer(t, func(conn net.Conn, nth int) { conn.Write(answer('1' + byte(nth%2))) })
	interrupted := rawServer(t, func(conn net.Conn, nth int) { // 1, then 500, then 2 ...
		if nth%2 == 1 {
			conn.Write([]byte("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
			return
		}
		conn.Write(answer('1' + byte(nth/2%2)))
	})
	closing := rawServer(t, func(conn net.Conn, nth int) {
		conn.Write([]byte("HTTP/1.1 200 OK\r\nX-Lambda-Version: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
		conn.Close()
	})
	check := func(name, url, canary string, same, switched uint64) {
		t.Helper()
		got := attack(t, Plan{Target: target(url), MaxHits: 40, Connections: 1, Duration: 5 * time.Second, Classify: byHeader(t), Baseline: "1", Canary: canary})
		if got.Turns != (Turns{same, switched}) {
			t.Errorf("%s: %+v, want %d and %d", name, got.Turns, same, switched)
		}
	}
	check("sticky", sticky.url, "2", 39, 0)
	check("switching", switching.url, "2", 0, 39)
	check("an error between", interrupted.url, "2", 0, 19)
	check("closing", closing.url, "2", 0, 0)
	check("no canary named", switching.url, "", 0, 0)
}
