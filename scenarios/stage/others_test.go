package stage_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"coalmine/scenarios/stage"
)

// direct is the lab past its proxy: another client of the same control plane.
func (l *lab) direct() *lab {
	l.t.Helper()
	other := *l
	other.Client = connect(l.t, l.backend)
	return &other
}

// patch changes the stage behind the package's back; operations are op, path, value.
func (l *lab) patch(ops ...[3]string) {
	l.t.Helper()
	var all []types.PatchOperation
	for _, op := range ops {
		o := types.PatchOperation{Op: types.Op(op[0]), Path: aws.String(op[1])}
		if op[0] == "replace" {
			o.Value = aws.String(op[2])
		}
		all = append(all, o)
	}
	if _, err := l.Gateway().UpdateStage(l.t.Context(), &apigateway.UpdateStageInput{RestApiId: &l.ref.API, StageName: &l.ref.Stage, PatchOperations: all}); err != nil {
		l.t.Error(err)
	}
}

// deployment makes one that no stage uses.
func (l *lab) deployment() string {
	l.t.Helper()
	out, err := l.Gateway().CreateDeployment(l.t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &l.ref.API})
	if err != nil {
		l.t.Error(err)
		return ""
	}
	return aws.ToString(out.Id)
}

// redeploy gives the canary a deployment that nobody judged.
func (l *lab) redeploy() string {
	l.t.Helper()
	id := l.deployment()
	l.patch([3]string{"replace", "/canarySettings/deploymentId", id})
	return id
}

// live is a lab with a canary that has its own deployment.
func live(t *testing.T) (l, other *lab, j *stage.Journal) {
	l = newLab(t)
	j = l.journal()
	l.must(l.CreateCanary(t.Context(), j, l.ref, 50, map[string]string{"lambdaAlias": "staging"}))
	l.must(l.DeployCanary(t.Context(), j, l.ref, "release"))
	return l, l.direct(), j
}

// during makes something happen at the first change, and answers it with this error; "" sends the change on.
func (l *lab) during(method string, status int, code string, happen func()) *atomic.Int64 {
	var attempts atomic.Int64
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || attempts.Add(1) > 1 {
			return false
		}
		happen()
		if code == "" {
			return false
		}
		w.Header().Set("Retry-After", "0")
		awsError(w, status, code, "concurrent modification")
		return true
	})
	return &attempts
}

var transient = map[string]struct {
	status int
	code   string
}{
	"409": {409, "ConflictException"},
	"429": {429, "TooManyRequestsException"},
	"500": {500, "InternalFailure"},
	"503": {503, "ServiceUnavailableException"},
}

// A request that AWS turned away is not sent again once another client has changed the stage meanwhile: a promote copies
// whatever deployment the canary has by then, and an abort removes whoever's canary it is.
func TestAnotherClientBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	for name, c := range transient {
		for what, verb := range map[string]func(*lab, *stage.Journal, stage.Measured) (stage.Change, error){
			"promote": func(l *lab, j *stage.Journal, judged stage.Measured) (stage.Change, error) {
				return l.Promote(t.Context(), j, l.ref, judged, false)
			},
			"abort": func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
				return l.Abort(t.Context(), j, l.ref, nil)
			},
			"percent": func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
				return l.SetPercent(t.Context(), j, l.ref, 100)
			},
			"deploy": func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
				return l.DeployCanary(t.Context(), j, l.ref, "")
			},
		} {
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				l, other, j := live(t)
				judged := l.measured()
				var theirs stage.State
				attempts := l.during("PATCH", c.status, c.code, func() { other.redeploy(); theirs = other.read() })
				_, err := verb(l, j, judged)
				if !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "canary deployment: ") || strings.Contains(err.Error(), "undone") {
					t.Errorf("%v", err)
				}
				if n := attempts.Load(); n != 1 {
					t.Errorf("%d attempts", n)
				}
				l.same(l.read(), theirs)
			})
		}
	}
}

// The verdict binds aliases, too: one that is moved while a promote waits for its next attempt refuses it.
func TestAliasMovedBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	l, other, j := live(t)
	judged, before := l.measured(), l.read()
	attempts := l.during("PATCH", 429, "TooManyRequestsException", func() { other.point("staging", "3", nil) })
	ch, err := l.Promote(t.Context(), j, l.ref, judged, false)
	if !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "alias staging of getProducts: version 2 -> version 3") || attempts.Load() != 1 {
		t.Errorf("%v after %d attempts", err, attempts.Load())
	}
	l.same(l.read(), before)
	if ch.Touched {
		t.Error("said to be touched: AWS turned the only request away")
	}
}

// An attempt whose answer was an error may have done it: then it is done, and not repeated.
func TestDoneByAnAttemptThatFailed(t *testing.T) {
	t.Parallel()
	l, _, j := live(t)
	judged := l.measured()
	var attempts atomic.Int64
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PATCH" || attempts.Add(1) > 1 {
			return false
		}
		l.proxy.answer(httptestWriter{}, r, func(int) {})
		awsError(w, 503, "ServiceUnavailableException", "busy")
		return true
	})
	ch := l.must(l.Promote(t.Context(), j, l.ref, judged, true))
	if attempts.Load() != 1 || ch.After.DeploymentID != judged.Stage.Canary.DeploymentID {
		t.Errorf("%d attempts, after %+v", attempts.Load(), ch.After)
	}
}

// httptestWriter is where an answer goes that nobody gets.
type httptestWriter struct{}

func (httptestWriter) Header() http.Header         { return http.Header{} }
func (httptestWriter) Write(b []byte) (int, error) { return len(b), nil }
func (httptestWriter) WriteHeader(int)             {}

// Redeployed in the milliseconds between the last reading and the patch, what nobody judged is promoted. It is taken back,
// and the other client's canary stays, without traffic.
func TestOvertakenPromote(t *testing.T) {
	t.Parallel()
	l, other, j := live(t)
	judged, before := l.measured(), l.read()
	var theirs string
	l.during("PATCH", 0, "", func() { theirs = other.redeploy() })
	ch, err := l.Promote(t.Context(), j, l.ref, judged, false)
	if !errors.Is(err, stage.ErrChanged) || errors.Is(err, stage.ErrNotTaken) || !strings.HasSuffix(err.Error(), "undone, the stage is as it was but for somebody else's canary, which is left at 0%") {
		t.Errorf("%v", err)
	}
	before.Canary.DeploymentID, before.Canary.Percent = theirs, 0
	l.same(l.read(), before)
	if !ch.Touched {
		t.Error("not said to be touched")
	}
	// Nor does anything later overwrite it without being told to.
	if _, err := l.Restore(t.Context(), j, l.ref, *judged.Stage); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("restored: %v", err)
	}
	if _, err := l.Abort(t.Context(), j, l.ref, nil); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("aborted: %v", err)
	}
	j.Close()
	if _, err := l.Recover(t.Context(), j.Path()); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("recovered: %v", err)
	}
	l.same(l.read(), before)
}

// Changed by another client right after it was patched, the stage is theirs: nothing is undone.
func TestStageIsMovedOn(t *testing.T) {
	t.Parallel()
	l, other, j := live(t)
	judged := l.measured()
	var theirs stage.State
	var patches atomic.Int64
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PATCH" || patches.Add(1) > 1 {
			return false
		}
		l.proxy.answer(w, r, func(int) {
			other.patch([3]string{"replace", "/variables/color", "red"})
			theirs = other.read()
		})
		return true
	})
	_, err := l.Promote(t.Context(), j, l.ref, judged, false)
	if !errors.Is(err, stage.ErrChanged) || !strings.HasSuffix(err.Error(), `right after it was patched: variable color: unset -> "red"`) {
		t.Errorf("%v", err)
	}
	l.same(l.read(), theirs)
}

// A canary that another client made first is theirs: the story whose own create was turned away does not remove it.
func TestAnotherClientsCanaryIsNotAborted(t *testing.T) {
	t.Parallel()
	for name, c := range transient {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			other, j := l.direct(), l.journal()
			var theirs stage.State
			l.during("PATCH", c.status, c.code, func() {
				id := other.deployment()
				other.patch([3]string{"replace", "/canarySettings/deploymentId", id}, [3]string{"replace", "/canarySettings/percentTraffic", "10"})
				theirs = other.read()
			})
			ch, err := l.CreateCanary(t.Context(), j, l.ref, 50, map[string]string{"lambdaAlias": "staging"})
			if !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "canary: none -> 10.0% to deployment ") {
				t.Errorf("%v", err)
			}
			if _, changed := j.Before(); changed != (c.status >= 500) || ch.Touched != changed {
				t.Errorf("changed %v, touched %v", changed, ch.Touched)
			}
			if c.status >= 500 { // a story that has not changed anything is nobody's to abort
				if _, err := l.Abort(t.Context(), j, l.ref, nil); !errors.Is(err, stage.ErrChanged) {
					t.Errorf("aborted: %v", err)
				}
			}
			l.same(l.read(), theirs)
		})
	}
}

// With credentials that expire, what is said to be untouched is so, from every call on.
func TestTouched(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	verbs := map[string]func(j *stage.Journal) (stage.Change, error){
		"create": func(j *stage.Journal) (stage.Change, error) {
			return l.CreateCanary(t.Context(), j, l.ref, 50, overrides)
		},
		"deploy": func(j *stage.Journal) (stage.Change, error) { return l.DeployCanary(t.Context(), j, l.ref, "") },
		"abort":  func(j *stage.Journal) (stage.Change, error) { return l.Abort(t.Context(), j, l.ref, nil) },
	}
	for _, name := range []string{"create", "deploy", "abort"} {
		for n := int64(0); ; n++ {
			before, deployments := l.read(), l.deployments()
			var calls, changes atomic.Int64
			l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
				if calls.Add(1)-1 < n {
					if r.Method != "GET" {
						changes.Add(1)
					}
					return false
				}
				awsError(w, 403, "ExpiredTokenException", "expired")
				return true
			})
			j := l.journal()
			ch, err := verbs[name](j)
			l.proxy.with(nil)
			j.Done(false)
			j.Close()
			var touched stage.Touched
			if ch.Touched != (changes.Load() > 0) || err != nil && errors.As(err, &touched) != ch.Touched {
				t.Errorf("%s from call %d on: %d changes went through, touched %v, %v", name, n, changes.Load(), ch.Touched, err)
			}
			if err == nil {
				break
			}
			if !ch.Touched {
				l.same(l.read(), before)
				if l.deployments() != deployments {
					t.Errorf("%s from call %d on: a deployment more", name, n)
				}
				continue
			}
			back := l.journal()
			l.must(l.Restore(t.Context(), back, l.ref, before))
			back.Done(true)
			back.Close()
		}
	}
}
