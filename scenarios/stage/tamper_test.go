package stage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"coalmine/scenarios/stage"
)

// API Gateway answers 409 while another change is being applied, and the SDK
// alone would give up on it.
func TestConcurrentModificationIsRetried(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	var refused atomic.Int64
	busy := func(times int64) {
		refused.Store(0)
		l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PATCH" && refused.Add(1) <= times {
				awsError(w, 409, "ConflictException", "Unable to complete operation due to concurrent modification. Please try again later.")
				return true
			}
			return false
		})
	}
	busy(2)
	l.must(l.CreateCanary(ctx, j, l.ref, 50, nil))
	if refused.Load() != 3 {
		t.Errorf("%d attempts, want 3", refused.Load())
	}
	busy(1000)
	_, err := l.Abort(ctx, j, l.ref, nil)
	if err == nil || err.Error() != "abort canary on prod: UpdateStage restapis/"+l.ref.API+"/stages/prod: ConflictException: Unable to complete operation due to concurrent modification. "+
		"Please try again later (4 attempts): another change of it is being applied: repeat in a minute" {
		t.Errorf("%v", err)
	}
	if n := refused.Load(); n < 3 || n > 10 {
		t.Errorf("%d attempts: not bounded as it should be", n)
	}
	// Waiting for the next attempt ends with the context.
	ctx, cancel := context.WithCancel(ctx)
	refused.Store(0)
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PATCH" {
			return false
		}
		refused.Add(1)
		cancel()
		awsError(w, 409, "ConflictException", "concurrent modification")
		return true
	})
	if _, err := l.Abort(ctx, j, l.ref, nil); err == nil || refused.Load() != 1 {
		t.Errorf("%v after %d attempts", err, refused.Load())
	}
	l.proxy.with(nil)
	l.must(l.Abort(t.Context(), j, l.ref, nil))
}

// Another conflict is not worth a retry.
func TestOtherConflictsAreNotRetried(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var attempts atomic.Int64
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PATCH" {
			return false
		}
		attempts.Add(1)
		awsError(w, 409, "ConflictException", "Stage already exists")
		return true
	})
	if _, err := l.CreateCanary(t.Context(), l.journal(), l.ref, 5, nil); err == nil || attempts.Load() != 1 {
		t.Errorf("%v after %d attempts", err, attempts.Load())
	}
}

// swallow makes of the emulator what moto is: canary settings are accepted
// with 200 and ignored, and the canary's deployment becomes the stage's.
func swallow(p *proxy) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PATCH" {
			return false
		}
		var in struct {
			PatchOperations []map[string]string `json:"patchOperations"`
		}
		body, _ := io.ReadAll(r.Body)
		json.Unmarshal(body, &in)
		kept := []map[string]string{}
		for _, op := range in.PatchOperations {
			switch {
			case op["path"] == "/canarySettings/deploymentId":
				op["path"] = "/deploymentId"
				kept = append(kept, op)
			case !strings.HasPrefix(op["path"], "/canarySettings"):
				kept = append(kept, op)
			}
		}
		in.PatchOperations = kept
		body, _ = json.Marshal(in)
		p.forward(w, r, body)
		return true
	}
}

// forgeOnce replaces the body of the first patch.
func forgeOnce(p *proxy, body string) func(w http.ResponseWriter, r *http.Request) bool {
	var patches atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PATCH" || patches.Add(1) > 1 {
			return false
		}
		p.forward(w, r, []byte(body))
		return true
	}
}

// answer sends a request on, and does something before its answer leaves.
func (p *proxy) answer(w http.ResponseWriter, r *http.Request, before func(status int)) {
	answer := httptest.NewRecorder()
	p.next.ServeHTTP(answer, r)
	before(answer.Code)
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// forward sends a request on with another body.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, body []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	p.next.ServeHTTP(w, r)
}

func TestSwallowedCanaryIsNoticed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	initial := l.read()
	l.proxy.with(swallow(l.proxy))
	_, err := l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging"})
	if !errors.Is(err, stage.ErrNotTaken) {
		t.Fatal(err)
	}
	for _, want := range []string{"create canary on prod: ", "50.0% to deployment " + initial.DeploymentID + ", lambdaAlias=staging -> none", "the stage is as it was"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	l.same(l.read(), initial)
	if err := j.Done(true); err != nil {
		t.Fatal(err)
	}

	// A deployment that does not become the canary's is deleted again.
	l.proxy.with(nil)
	l.must(l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging"}))
	withCanary := l.read()
	l.proxy.with(forgeOnce(l.proxy, `{"patchOperations":[]}`))
	ch, err := l.DeployCanary(ctx, j, l.ref, "release")
	if !errors.Is(err, stage.ErrNotTaken) {
		t.Fatal(err)
	}
	l.same(l.read(), withCanary)
	if len(ch.Deleted) != 1 || ch.Deleted[0] != ch.Created {
		t.Errorf("made %s, deleted %v", ch.Created, ch.Deleted)
	}

	// A promote that copies no variables is taken back, canary and all.
	withCanary = l.read() // updated since
	l.proxy.with(forgeOnce(l.proxy, `{"patchOperations":[{"op":"replace","path":"/canarySettings/percentTraffic","value":"0.0"}]}`))
	if _, err := l.Promote(ctx, j, l.ref, l.measured(), false); !errors.Is(err, stage.ErrNotTaken) || !strings.Contains(err.Error(), "undone") {
		t.Fatal(err)
	}
	l.same(l.read(), withCanary)
}

// swallowMoves answers 200 to an alias's update and keeps the alias as it was,
// or does something else.
func swallowMoves(p *proxy, instead string) func(w http.ResponseWriter, r *http.Request) bool {
	var moves atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PUT" || moves.Add(1) > 1 {
			return false
		}
		if instead == "" {
			r.Method = "GET"
		}
		p.forward(w, r, []byte(instead))
		return true
	}
}

func TestSwallowedMoveIsNoticed(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	ctx := t.Context()
	j := l.journal()
	for _, c := range []struct{ name, instead, says string }{
		{"ignored", "", "asked -> is there: alias prod of getProducts: version 2 -> version 1, 25.0% to version 2; undone, the alias is as it was"},
		{"weights ignored", `{"FunctionVersion":"1"}`, "version 2 -> version 1, 25.0% to version 2; undone"},
		{"another version", `{"FunctionVersion":"3","RoutingConfig":{"AdditionalVersionWeights":{}}}`, "version 2 -> version 3; undone, the alias is as it was"},
	} {
		l.proxy.with(swallowMoves(l.proxy, c.instead))
		_, err := l.Promote(ctx, j, l.ref, l.measured(), false)
		if !errors.Is(err, stage.ErrNotTaken) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		l.leads("prod", "version 1, 25.0% to version 2")
	}
	// An HTML page for an answer is an error, also when the move took effect: it did, then.
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PUT" {
			return false
		}
		l.proxy.next.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(500)
		io.WriteString(w, "<html>Internal error</html>")
		return true
	})
	l.must(l.Promote(ctx, j, l.ref, l.measured(), false))
	l.leads("prod", "version 2")
}

// A repoint whose alias did not move leaves the stage where it is; one whose variables did not come back takes the alias
// back, too.
func TestSwallowedRepointIsUndone(t *testing.T) {
	t.Parallel()
	l, j, judged, _ := promoted(t)
	ctx := t.Context()
	after := l.read()
	for name, tamper := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"alias":     swallowMoves(l.proxy, ""),
		"variables": forgeOnce(l.proxy, `{"patchOperations":[{"op":"replace","path":"/variables/lambdaAlias","value":"dev"}]}`),
	} {
		l.proxy.with(tamper)
		_, err := l.Repoint(ctx, j, l.ref, judged)
		if !errors.Is(err, stage.ErrNotTaken) || !strings.Contains(err.Error(), "undone, the stage is as it was") {
			t.Errorf("%s: %v", name, err)
		}
		l.proxy.with(nil)
		l.leads("prod", "version 1")
		l.same(l.read(), after)
		judged.Aliases[0] = l.alias("prod") // its revision is another now
	}
	// Stage and aliases as they were before the story, by what is in the journal.
	if _, err := l.Recover(ctx, l.crash(j)); err != nil {
		t.Error(err)
	}
	l.leads("prod", "version 1")
}

// An answer that is lost does not make a verb fail when its patch took effect.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	j := l.journal()
	lost := func(method string) {
		l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != method {
				return false
			}
			l.proxy.next.ServeHTTP(httptest.NewRecorder(), r)
			cut()
			return true
		})
	}
	lost("PATCH")
	l.must(l.CreateCanary(ctx, j, l.ref, 50, map[string]string{"lambdaAlias": "staging"}))
	// A repeated remove is refused by the server: the first one did it.
	l.must(l.Abort(ctx, j, l.ref, nil))
	lost("POST")
	l.must(l.CreateCanary(ctx, j, l.ref, 50, nil))
	// A deployment whose id nobody was told is found by its description, and not made again.
	before := l.deployments()
	made := l.must(l.DeployCanary(ctx, j, l.ref, "lost"))
	if n := l.deployments() - before; n != 1 || made.After.Canary.DeploymentID != made.Created {
		t.Errorf("%d deployments more; %s for %+v", n, made.Created, made.After.Canary)
	}
	// Nor mistaken for an earlier one of the same story.
	if again := l.must(l.DeployCanary(ctx, j, l.ref, "lost")); again.Created == made.Created {
		t.Errorf("twice the deployment %s", again.Created)
	}
	l.proxy.with(nil)
	if ch := l.must(l.Abort(ctx, j, l.ref, nil)); len(ch.Deleted) != 2 {
		t.Errorf("deleted %v", ch.Deleted)
	}
}

var overrides = map[string]string{"lambdaAlias": "staging", "extra": "1"}

// A change that AWS refuses leaves nothing to recover.
func TestRefusedChangeNeedsNoRecovery(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PATCH" {
			awsError(w, 403, "AccessDeniedException", "User is not authorized to perform: apigateway:PATCH")
			return true
		}
		return false
	})
	j := l.journal()
	_, err := l.CreateCanary(t.Context(), j, l.ref, 5, nil)
	if err == nil || err.Error() != "create canary on prod: UpdateStage restapis/"+l.ref.API+"/stages/prod: AccessDeniedException: User is not authorized to perform: apigateway:PATCH: "+
		"allow apigateway:PATCH on arn:aws:apigateway:eu-west-1::/restapis/"+l.ref.API+"/stages/prod (see: coalmine canary policy)" {
		t.Error(err)
	}
	j.Close()
	l.journal()
}

// Cancelled while a patch is under way, the patch is waited for and the
// journal knows how it went.
func TestCancelledInsideARequest(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	j := l.journal()
	initial := l.read()
	ctx, cancel := context.WithCancel(t.Context())
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PATCH" {
			cancel()
		}
		return false
	})
	l.must(l.CreateCanary(ctx, j, l.ref, 50, overrides))
	if _, err := l.DeployCanary(ctx, j, l.ref, ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.proxy.with(nil)
	ctx = context.WithoutCancel(ctx)
	l.must(l.Restore(ctx, j, l.ref, initial))
	l.same(l.read(), initial)
	stories := j.Stories()
	for _, step := range stories[len(stories)-1].Steps {
		if step.Outcome == nil || step.Outcome.Error != "" {
			t.Errorf("step %+v", step)
		}
	}
	if matches, _ := filepath.Glob(filepath.Join(l.dir, "*.ndjson")); len(matches) != 1 {
		t.Errorf("journals %v", matches)
	}
}
