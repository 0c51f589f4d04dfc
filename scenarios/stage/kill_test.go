package stage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// tale is a run by the package's verbs; it stops at the first error, and leaves its story unfinished.
type tale func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error

// verbs tells them one after the other.
func verbs(all ...tale) tale {
	return func(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error {
		for _, verb := range all {
			if err := verb(ctx, c, j, ref); err != nil {
				return err
			}
		}
		return nil
	}
}

func creating(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error {
	_, err := c.CreateCanary(ctx, j, ref, 50, overrides)
	return err
}

func deploying(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error {
	_, err := c.DeployCanary(ctx, j, ref, "release")
	return err
}

func aborting(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error {
	_, err := c.Abort(ctx, j, ref, nil)
	return err
}

func shifting(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error {
	_, err := c.SetPercent(ctx, j, ref, 75)
	return err
}

func promoting(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error {
	judged, err := c.Measure(ctx, ref)
	if err == nil {
		_, err = c.Promote(ctx, j, ref, judged, false)
	}
	return err
}

func repointing(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error {
	judged, err := c.Measure(ctx, ref)
	if err == nil {
		_, err = c.Promote(ctx, j, ref, judged, false)
	}
	if err == nil {
		_, err = c.Repoint(ctx, j, ref, judged)
	}
	return err
}

func rollingBack(ctx context.Context, c *stage.Client, j *stage.Journal, ref stage.Ref) error {
	to, found := j.BeforePromote()
	if !found {
		return errors.New("the journal forgot the promote")
	}
	_, err := c.Rollback(ctx, j, ref, to)
	return err
}

// Each tale begins on a stage as the demonstration system has it, on one with a canary, or on a weighted alias.
var tales = map[string]struct {
	tell  tale
	begin func(l *lab)
}{
	"repoint":    {verbs(creating, deploying, repointing, rollingBack), nil},
	"abort":      {verbs(creating, deploying, aborting), nil},
	"livecanary": {verbs(shifting, deploying, promoting), (*lab).withCanary},
	"weighted":   {verbs(shifting, promoting, rollingBack), (*lab).withWeights},
}

func (l *lab) withCanary() {
	l.t.Helper()
	ctx, j := l.t.Context(), l.journal()
	l.must(l.CreateCanary(ctx, j, l.ref, 25, map[string]string{"lambdaAlias": "staging"}))
	l.must(l.DeployCanary(ctx, j, l.ref, "before"))
	if err := errors.Join(j.Done(false), j.Close()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) withWeights() {
	l.t.Helper()
	l.ref = stage.Ref{Function: products.Function, Alias: "prod"}
	l.point("prod", "1", map[string]float64{"2": 0.25})
}

// whole is all that a story may change.
type whole struct {
	stage       stage.State
	prod        stage.Alias
	staging     stage.Alias
	deployments int
}

func (l *lab) whole() whole {
	l.t.Helper()
	ref := stage.Ref{API: l.system.API, Stage: "prod"}
	state, err := l.Read(context.Background(), ref)
	if err != nil {
		l.t.Fatal(err)
	}
	return whole{state, l.alias("prod"), l.alias("staging"), l.deployments()}
}

func (l *lab) deployments() int {
	l.t.Helper()
	out, err := l.Gateway().GetDeployments(context.Background(), &apigateway.GetDeploymentsInput{RestApiId: &l.system.API})
	if err != nil {
		l.t.Fatal(err)
	}
	return len(out.Items)
}

// asBefore recovers, and fails unless everything is as before and nothing is left unfinished.
func (l *lab) asBefore(before whole, what string) {
	l.t.Helper()
	forking.RLock()
	defer forking.RUnlock()
	if _, err := l.Recover(context.Background(), l.dir); err != nil {
		l.t.Fatalf("%s: recover: %v", what, err)
	}
	now := l.whole()
	l.same(now.stage, before.stage)
	for _, alias := range [][2]stage.Alias{{now.prod, before.prod}, {now.staging, before.staging}} {
		if alias[0].String() != alias[1].String() {
			l.t.Errorf("alias %s: %s, was %s", alias[0].Name, alias[0], alias[1])
		}
	}
	if now.deployments != before.deployments {
		l.t.Errorf("%d deployments, were %d", now.deployments, before.deployments)
	}
	j, err := l.OpenJournal(l.dir, l.ref)
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
	j.Close()
	if l.t.Failed() {
		l.t.Fatal(what)
	}
	if err := os.RemoveAll(l.dir); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Mkdir(l.dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
}

// forking keeps a journal from being open here when a child begins: until it has become another program it holds what
// its parent had open, locks too.
var forking sync.RWMutex

const childVariable = "COALMINE_STAGE_TEST_CHILD"

// errand is what a child process is to do.
type errand struct {
	Tale, Endpoint, Dir string
	Ref                 stage.Ref
}

// child is this test's binary as a program that can be killed.
func child(spec string) int {
	var e errand
	ctx := context.Background()
	err := json.Unmarshal([]byte(spec), &e)
	if err == nil {
		err = e.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (e errand) run(ctx context.Context) error {
	c, err := stage.Connect(ctx, stage.Config{Endpoint: e.Endpoint, Region: "eu-west-1"})
	if err != nil {
		return err
	}
	j, err := c.OpenJournal(e.Dir, e.Ref)
	if err != nil {
		return err
	}
	return tales[e.Tale].tell(ctx, c, j, e.Ref) // no Close: like a kill after the last call
}

// Killed with SIGKILL at every single call of the control plane, before it is forwarded and before its answer is, a process
// leaves a journal from which Recover makes stage and aliases exactly what they were, with no deployment more.
func TestKilledAtEveryCall(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts some hundred processes")
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, tale := range tales {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if tale.begin != nil {
				tale.begin(l)
			}
			before := l.whole()
			calls := 0
			for n := 0; ; n++ {
				if !l.killedAt(binary, name, n, false) {
					calls = n
					break
				}
				l.asBefore(before, fmt.Sprintf("killed before call %d", n))
				l.killedAt(binary, name, n, true)
				l.asBefore(before, fmt.Sprintf("killed before the answer to call %d", n))
			}
			l.asBefore(before, "told to its end")
			t.Logf("%d calls, %d kills", calls, 2*calls)
		})
	}
}

// killedAt sends a child on the errand and kills it at its n-th call; false when it came to its end without one.
func (l *lab) killedAt(binary, name string, n int, arrives bool) bool {
	l.t.Helper()
	spec, err := json.Marshal(errand{Tale: name, Endpoint: l.proxy.URL, Dir: l.dir, Ref: l.ref})
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), childVariable+"="+string(spec), "GOMAXPROCS=1", "GOGC=off")
	var said strings.Builder
	cmd.Stderr = &said
	started, gone := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if calls.Add(1)-1 != int64(n) {
			return false
		}
		if arrives {
			l.proxy.next.ServeHTTP(httptest.NewRecorder(), r)
		}
		<-started
		cmd.Process.Kill()
		<-gone // nothing comes from it after this
		cut()
		return true
	})
	defer l.proxy.with(nil)
	forking.Lock()
	err = cmd.Start()
	forking.Unlock()
	if err != nil {
		l.t.Fatal(err)
	}
	close(started)
	died := cmd.Wait()
	close(gone)
	if died != nil && calls.Load() <= int64(n) {
		l.t.Fatalf("%s came to grief before call %d: %v: %s", name, n, died, said.String())
	}
	return calls.Load() > int64(n)
}

// With the network gone, or the credentials expired, from any call on, the verb says so in one line, and Recover restores
// everything once the trouble is over.
func TestTroubleFromEveryCallOn(t *testing.T) {
	for name, tale := range tales {
		for trouble, c := range map[string]struct {
			is   error
			says string
			do   func(p *proxy, w http.ResponseWriter)
		}{
			"network": {stage.ErrUnreachable, ": check the network", func(p *proxy, _ http.ResponseWriter) { p.down() }},
			"expired": {stage.ErrCredentials, "ExpiredTokenException: The security token included in the request is expired: sign in again", func(_ *proxy, w http.ResponseWriter) {
				awsError(w, 403, "ExpiredTokenException", "The security token included in the request is expired")
			}},
		} {
			t.Run(name+"/"+trouble, func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				if tale.begin != nil {
					tale.begin(l)
				}
				before := l.whole()
				for n := int64(0); ; n++ {
					var calls atomic.Int64
					l.proxy.with(func(w http.ResponseWriter, _ *http.Request) bool {
						if calls.Add(1)-1 < n {
							return false
						}
						c.do(l.proxy, w)
						return true
					})
					j := l.journal()
					err := tale.tell(t.Context(), l.Client, j, l.ref)
					l.proxy.with(nil)
					if calls.Load() > n && trouble == "network" {
						if err := l.proxy.up(); err != nil {
							t.Fatal(err)
						}
					}
					j.Close()
					l.asBefore(before, fmt.Sprintf("trouble from call %d on (%v)", n, err))
					if calls.Load() <= n {
						if err != nil {
							t.Fatal(err)
						}
						return
					}
					// A note may be all: what was asked for is done, and only tidying up was left.
					if err != nil && (!errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n")) {
						t.Fatalf("from call %d on: %v", n, err)
					}
				}
			})
		}
	}
}

// Killed while it recovers, a second Recover does it.
func TestRecoverKilledAnywhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	before := l.whole()
	for n := int64(0); ; n++ {
		j := l.journal()
		if err := verbs(creating, deploying, repointing)(t.Context(), l.Client, j, l.ref); err != nil {
			t.Fatal(err)
		}
		path := l.crash(j)
		var calls atomic.Int64
		l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
			k := calls.Add(1) - 1
			if k == n && n%2 == 1 {
				l.proxy.next.ServeHTTP(httptest.NewRecorder(), r)
			}
			if k >= n {
				cut()
			}
			return false
		})
		_, died := l.Recover(t.Context(), path)
		l.proxy.with(nil)
		l.asBefore(before, fmt.Sprintf("recover killed at call %d (%v)", n, died))
		if calls.Load() <= n {
			return
		}
	}
}

// crash is the end of a process: the lock goes, and the journal is as it is on
// disk, without the last words of Close. It is in another directory then.
func (l *lab) crash(j *stage.Journal) (path string) {
	l.t.Helper()
	data, err := os.ReadFile(j.Path())
	if err != nil {
		l.t.Fatal(err)
	}
	l.dir = memory(l.t)
	path = filepath.Join(l.dir, filepath.Base(j.Path()))
	if err := errors.Join(os.WriteFile(path, data, 0o600), j.Close()); err != nil {
		l.t.Fatal(err)
	}
	return path
}
