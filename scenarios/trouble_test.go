package scenarios

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coalmine/analyze"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/stage"
)

// through puts a proxy between the story and the control plane: intercept sees each request, and may answer it itself. The
// load does not pass it.
func (r *rig) through(intercept func(w http.ResponseWriter, req *http.Request, body string) (answered bool)) {
	r.t.Helper()
	target, err := url.Parse(r.server.URL())
	r.must(err)
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ErrorLog = log.New(io.Discard, "", 0) // what an interrupt leaves unanswered
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		if !intercept(w, req, string(body)) {
			forward.ServeHTTP(w, req)
		}
	}))
	r.t.Cleanup(proxy.Close)
	r.client, err = stage.Connect(r.t.Context(), stage.Config{Endpoint: proxy.URL})
	r.must(err)
	r.detour = strings.NewReplacer(proxy.URL, r.server.URL())
}

// changed is a run that begins with its canary.
func (r *rig) changed() *Prepared {
	r.t.Helper()
	p := r.run(toBake)
	p.Story.Before = nil
	p.Story.Bake, p.Header.Plan.Bake = time.Minute, time.Minute
	return p
}

// unbaked is a run that begins with its canary, and promotes it as soon as it is judged.
func (r *rig) unbaked() *Prepared {
	r.t.Helper()
	p := r.changed()
	p.Story.Bake, p.Header.Plan.Bake = 0, 0
	return p
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}

// control reports whether the request is the control plane's, and not load.
func control(req *http.Request) bool { return req.Header.Get("X-Amz-Date") != "" }

// refuse answers as AWS does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amzn-Errortype", code)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, `{"message":"`+message+`"}`)
}

// theirs is a canary that somebody else makes.
func (r *rig) theirs(percent float64, alias string) stage.State {
	other := r.connect()
	j, err := other.OpenJournal(r.t.TempDir(), r.ref)
	if err != nil {
		r.t.Error(err)
		return stage.State{}
	}
	defer j.Close()
	change, err := other.CreateCanary(context.Background(), j, r.ref, percent, map[string]string{"lambdaAlias": alias})
	if err == nil {
		err = j.Done(false)
	}
	if err != nil {
		r.t.Error(err)
	}
	change.After.LastUpdated = time.Time{}
	return change.After
}

// Where somebody else's canary was first and AWS refused the story's own, theirs stays, whatever it is like.
func TestTheirsWasFirst(t *testing.T) {
	t.Parallel()
	for name, like := range map[string]struct {
		percent float64
		alias   string
	}{"other variables": {50, "dev"}, "other percentage": {10, "staging"}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			var once sync.Once
			var theirs stage.State
			r.through(func(w http.ResponseWriter, req *http.Request, _ string) bool {
				if req.Method != http.MethodPatch {
					return false
				}
				refused := false
				once.Do(func() {
					theirs, refused = r.theirs(like.percent, like.alias), true
					refuse(w, 400, "BadRequestException", "the stage has a canary")
				})
				return refused
			})
			_, err := r.tell(t.Context(), r.changed())
			if err == nil || !strings.Contains(err.Error(), "the stage has a canary") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one line with what AWS said", err)
			}
			check(t, "their canary", r.state().Differs(theirs), nil)
		})
	}
}

// troubles are what may come between a story and the control plane.
var troubles = map[string]func(w http.ResponseWriter, req *http.Request) bool{
	"expired": func(w http.ResponseWriter, req *http.Request) bool {
		refuse(w, 403, "ExpiredTokenException", "The security token included in the request is expired")
		return true
	},
	"unreachable": func(w http.ResponseWriter, req *http.Request) bool { cut(w); return true },
	"refused": func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPatch {
			refuse(w, 403, "AccessDeniedException", "not authorized")
			return true
		}
		return false
	},
}

// renewed is the end of a trouble.
const renewed = "renewed"

// troubled lets a trouble begin, from when the result is called with its name.
func (r *rig) troubled(when func(req *http.Request, body string) (begin string)) (begin func(string)) {
	var now atomic.Value
	now.Store("")
	r.through(func(w http.ResponseWriter, req *http.Request, body string) bool {
		if !control(req) {
			return false
		}
		if when != nil {
			if name := when(req, body); name != "" {
				now.Store(name)
			}
		}
		name := now.Load().(string)
		return name != "" && name != renewed && troubles[name](w, req)
	})
	return func(name string) { now.Store(name) }
}

// What a story cannot take back it says: what is there now, and which command comes next.
func TestLeft(t *testing.T) {
	t.Parallel()
	full := "the canary gets 100 % of stage prod, and had 50 % before this run; "
	made := "stage prod differs from before this run: canary: none -> 100.0% to deployment "
	for _, tc := range []struct {
		name, trouble string
		run           bool // makes its canary
		says          []string
	}{
		{"gate, expired", "expired", false, []string{"ExpiredTokenException", "not undone: as last read at ", full + "with credentials that work: coalmine canary recover JOURNAL"}},
		{"gate, unreachable", "unreachable", false, []string{"not undone: as last read at ", full + "once AWS can be reached: coalmine canary recover JOURNAL"}},
		{"gate, refused", "refused", false, []string{"AccessDeniedException", "not undone: now " + full + "once that is mended: coalmine canary recover JOURNAL"}},
		{"run, expired", "expired", true, []string{"ExpiredTokenException", "not undone: as last read at ", made, "with credentials that work: coalmine canary recover JOURNAL"}},
		{"run, unreachable", "unreachable", true, []string{"not undone: as last read at ", made, "once AWS can be reached: coalmine canary recover JOURNAL"}},
		{"run, refused", "refused", true, []string{"not undone: now " + made, "once that is mended: coalmine canary recover JOURNAL"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			before := r.state()
			if !tc.run {
				before = r.canary()
			}
			begin := r.troubled(nil)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			r.seen = func(a analyze.Analysis) {
				if !reached(a, analyze.Bake, 10) {
					return
				}
				begin(tc.trouble)
				if tc.trouble != "expired" || slices.Contains(acts(a), analyze.ControlTrouble) { // told as soon as a reading fails
					interrupt()
				}
			}
			var p *Prepared
			if tc.run {
				p = r.changed()
			} else {
				p = r.gate(func(g *Gate) { g.Act.Promote, g.Bake = Promote, time.Minute })
			}
			_, err := r.tell(ctx, p)
			path := p.Story.Control.Journal.Path()
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, want one line", err)
			}
			for _, says := range tc.says {
				if says = strings.ReplaceAll(says, "JOURNAL", path); !strings.Contains(err.Error(), says) {
					t.Errorf("%v\nwant %s", err, says)
				}
			}
			if told := slices.ContainsFunc(r.lines, func(line string) bool { return strings.Contains(line, "the load goes on") }); told != (tc.trouble == "expired") {
				t.Errorf("told during the load: %q", r.lines)
			}
			begin(renewed)
			r.must(p.Story.Control.Journal.Close())
			_, err = r.client.Recover(t.Context(), path)
			r.must(err)
			check(t, "recovered", r.state().Differs(before), nil)
		})
	}
}

// Credentials that end in the middle of an act may be renewed a moment later: what was done is taken back with them.
func TestRenewedCredentials(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{"the bake": `"100.0"`, "promote": `"copy"`} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			before := r.state()
			var once atomic.Bool
			r.troubled(func(req *http.Request, body string) string {
				if req.Method == http.MethodPatch && strings.Contains(body, sent) && once.CompareAndSwap(false, true) {
					return "expired"
				}
				return renewed
			})
			p := map[string]func() *Prepared{"the bake": r.changed, "promote": r.unbaked}[name]()
			a, err := r.tell(t.Context(), p)
			if err == nil || !strings.Contains(err.Error(), "ExpiredTokenException") || strings.Contains(err.Error(), "recover") {
				t.Errorf("%v, want what AWS said, and nothing to recover", err)
			}
			check(t, "action", a.Action, "rolled back")
			check(t, "the stage", r.state().Differs(before), nil)
			if _, open := p.Story.Control.Journal.Before(); open {
				t.Error("the journal is left unfinished")
			}
		})
	}
}

// What cannot be judged is refused before anything is sent.
func TestGateRefuses(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.canary()
	var sent atomic.Int64
	r.through(func(_ http.ResponseWriter, req *http.Request, _ string) bool {
		if !control(req) {
			sent.Add(1)
		}
		return false
	})
	for _, tc := range []struct {
		change func(*Gate)
		says   string // "": nothing
	}{
		{func(g *Gate) { g.Act.Promote, g.Bake = Promote, 300*time.Millisecond }, "bake: want more than settle, 400ms, until which the baseline may still answer, got 300ms"},
		{func(g *Gate) { g.Canary = "1" }, "--canary 1: by AWS that is the baseline of stage prod, and its canary is version 2: want --canary 2, or none"},
		{func(g *Gate) { g.Baseline, g.Canary = "2", "1" }, "--canary 1: by AWS that is the baseline of stage prod, and its canary is version 2: want --canary 2, or none"},
		{func(g *Gate) { g.Baseline = "2" }, "--baseline 2: by AWS that is the canary of stage prod, and its baseline is version 1: want --baseline 1, or none"},
		{func(g *Gate) { g.Baseline, g.Canary = "1", "2" }, ""},
		{func(g *Gate) { g.Canary = "blue" }, ""},
	} {
		err := r.prepare(tc.change)
		var preflight Preflight
		switch {
		case tc.says == "" && err == nil:
		case tc.says == "", !errors.As(err, &preflight), err.Error() != tc.says:
			t.Errorf("%v, want %q", err, tc.says)
		case sent.Load() > 0:
			t.Errorf("%v: after %d requests", err, sent.Load())
		}
	}
}

// What somebody else makes of the percentage during a bake is left as they set it, and said.
func TestPercentageOfAnother(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) (stage.Change, error)
		says   string
	}{
		{"set", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) (stage.Change, error) {
			return c.SetPercent(ctx, j, ref, 10)
		}, "the canary gets 10 %"},
		{"removed", func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) (stage.Change, error) {
			return c.Abort(ctx, j, ref, nil)
		}, "there is no canary any more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			r.canary()
			var theirs stage.State
			r.once(analyze.Bake, 100, func() {
				other := r.connect()
				j := r.journal(other)
				_, err := tc.change(context.Background(), other, j, r.ref)
				r.must(err)
				r.must(j.Done(false))
				theirs = r.state()
			})
			p := r.gate(func(g *Gate) { g.Act.Promote, g.Bake = Promote, time.Minute })
			a, err := r.tell(t.Context(), p)
			r.must(err)
			check(t, "verdict", a.Conclusion.Verdict.String(), "INCONCLUSIVE")
			check(t, "the stage", r.state().Differs(theirs), nil)
			if want := "the percentage is not set back, for somebody else has changed it: " + tc.says; !slices.Contains(r.lines, want) {
				t.Errorf("%q, want %s", r.lines, want)
			}
			if _, open := p.Story.Control.Journal.Before(); open {
				t.Error("the journal is left unfinished")
			}
		})
	}
}

// A breaker that may not stop the canary's traffic has not stopped it: the bake's percentage is taken back then.
func TestBreakerRefused(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	before := r.canary()
	r.through(func(w http.ResponseWriter, req *http.Request, body string) bool {
		if req.Method != http.MethodPatch || !strings.Contains(body, `"0.0"`) {
			return false
		}
		refuse(w, 403, "AccessDeniedException", "not authorized")
		return true
	})
	p := r.gate(func(g *Gate) {
		g.Act, g.Bake = Act{Promote, Rollback, Hold}, time.Minute
		g.Policy.Breaker = analyze.BreakerPolicy{Throttled: 0.05, Errors: 1, MinHits: 10, Over: analyze.Duration(time.Second)}
		g.Policy.Validity.Throttled = 1 // the breaker alone speaks
		g.Policy.Errors = analyze.ErrorPolicy{Max: 0.9, Margin: 59}
	})
	r.once(analyze.Bake, 100, func() {
		r.becomes(emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Throttle: 20}})
	})
	a, err := r.tell(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "set the canary to 0 %") {
		t.Errorf("%v, want what was refused", err)
	}
	check(t, "acts", acts(a), []string{"percent.set 100", "breaker", "percent.set 0", "percent.set 50"})
	check(t, "the canary", r.state().Differs(before), nil)
}

// A breaker's 0 % whose answer was lost is no stage as it was: what is there is read again, or left to recover.
func TestBreakerUnanswered(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cuts int64 // readings after the patch that fail
		says string
		open bool
	}{{"for a moment", 1, "set the canary to 0 %", false}, {"for good", 1 << 30, "once AWS can be reached: coalmine canary recover ", true}} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			before := r.canary()
			var sent, back atomic.Bool
			var cuts atomic.Int64
			r.through(func(w http.ResponseWriter, req *http.Request, body string) bool {
				lost := control(req) && sent.Load() && !back.Load() && cuts.Add(1) <= tc.cuts
				if lost && tc.open {
					cut(w)
				} else if lost {
					troubles["expired"](w, req) // is not asked again
				} else if req.Method == http.MethodPatch && strings.Contains(body, `"0.0"`) {
					sent.Store(true)
				}
				return lost
			})
			p := r.gate(func(g *Gate) {
				g.Act = Act{Hold, Rollback, Hold}
				g.Policy.Breaker = analyze.BreakerPolicy{Throttled: 0.05, Errors: 1, MinHits: 10, Over: analyze.Duration(time.Second)}
				g.Policy.Validity.Throttled = 1 // the breaker alone speaks
				g.Policy.Errors = analyze.ErrorPolicy{Max: 0.9, Margin: 59}
			})
			r.becomes(emulator.Faults{Seed: 1, Gateway: emulator.Gateway{Throttle: 20}})
			_, err := r.tell(t.Context(), p)
			j := p.Story.Control.Journal
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v, want %s", err, tc.says)
			}
			back.Store(true)
			check(t, "percent", r.state().Canary.Percent, 0)
			_, open := j.Before()
			check(t, "the journal is open", open, tc.open)
			r.must(j.Close())
			if end := j.Stories()[0].End; !tc.open && (end == nil || end.Restored) {
				t.Errorf("the journal ends with %+v", end)
			}
			if tc.open {
				_, err = r.client.Recover(t.Context(), j.Path())
				r.must(err)
				check(t, "recovered", r.state().Differs(before), nil)
			}
		})
	}
}

// A percentage that binary fractions cannot hold is set back to what it was, and not to its neighbour.
func TestPercentageIsExact(t *testing.T) {
	t.Parallel()
	for _, weighted := range []bool{false, true} {
		t.Run(map[bool]string{false: "stage", true: "alias"}[weighted], func(t *testing.T) {
			r := newRig(t, emulator.Faults{Seed: 1})
			url, was := r.client.InvokeURL(r.ref), func() any { return r.state() }
			if weighted {
				function, alias, version := "getProducts", "prod", "1"
				_, err := r.client.Lambda().UpdateAlias(t.Context(), &lambda.UpdateAliasInput{FunctionName: &function, Name: &alias, FunctionVersion: &version,
					RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.29}}})
				r.must(err)
				r.ref = stage.Ref{Function: function, Alias: alias, Method: "GET"}
				was = func() any {
					now, err := r.client.ReadAlias(context.Background(), function, alias)
					r.must(err)
					return now.Weights
				}
			} else {
				r.canary()
				other := r.connect()
				j := r.journal(other)
				_, err := other.SetPercent(t.Context(), j, r.ref, 29)
				r.must(err)
				r.must(j.Done(false))
			}
			before := was()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			r.once(analyze.Bake, 50, interrupt)
			p := r.gate(func(g *Gate) {
				g.Plan.Target.URL, g.Act.Promote, g.Bake = url, Promote, time.Minute
			})
			a, err := r.tell(ctx, p)
			r.must(err)
			check(t, "percent", p.Header.Target.Percent, 29)
			check(t, "acts", acts(a), []string{"percent.set 100", "percent.set 29"})
			check(t, "afterwards", was(), before)
		})
	}
}
