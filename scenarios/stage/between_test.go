package stage_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"coalmine/scenarios/stage"
)

// meanwhile makes something happen once, when a request is the one that is meant.
func (l *lab) meanwhile(meant func(r *http.Request) bool, happen func()) {
	var once atomic.Bool
	l.proxy.with(func(_ http.ResponseWriter, r *http.Request) bool {
		if meant(r) && once.CompareAndSwap(false, true) {
			happen()
		}
		return false
	})
}

// What another client does while a verb still reads what it plans by, or waits, is theirs: nothing is sent over it.
func TestAnotherClientBeforeTheFirstAttempt(t *testing.T) {
	t.Parallel()
	aliasRead := func(r *http.Request) bool { return r.Method == "GET" && strings.Contains(r.URL.Path, "/aliases/") }
	for name, c := range map[string]struct {
		begin func(t *testing.T) (*lab, *stage.Journal)
		meant func(r *http.Request) bool
		verb  func(l *lab, j *stage.Journal) func() (stage.Change, error)
	}{
		"promote": {
			func(t *testing.T) (*lab, *stage.Journal) { l, _, j := live(t); return l, j }, aliasRead,
			func(l *lab, j *stage.Journal) func() (stage.Change, error) {
				judged := l.measured()
				return func() (stage.Change, error) { return l.Promote(t.Context(), j, l.ref, judged, false) }
			},
		},
		"rollback": {
			func(t *testing.T) (*lab, *stage.Journal) { l, j, _, _ := promoted(t); return l, j },
			func(r *http.Request) bool { return r.Method == "GET" && strings.Contains(r.URL.Path, "/deployments/") },
			func(l *lab, j *stage.Journal) func() (stage.Change, error) {
				to, _ := j.BeforePromote()
				return func() (stage.Change, error) { return l.Rollback(t.Context(), j, l.ref, to) }
			},
		},
		"repoint": {
			func(t *testing.T) (*lab, *stage.Journal) { l, j, _, _ := promoted(t); return l, j },
			func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/provisioned-concurrency") },
			func(l *lab, j *stage.Journal) func() (stage.Change, error) {
				judged, _ := j.Promoted()
				return func() (stage.Change, error) { return l.Repoint(t.Context(), j, l.ref, judged) }
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, j := c.begin(t)
			other, act := l.direct(), c.verb(l, j)
			var theirs stage.State
			l.meanwhile(c.meant, func() {
				id := other.deployment()
				if other.read().Canary != nil {
					other.patch([3]string{"replace", "/canarySettings/deploymentId", id})
				} else {
					other.patch([3]string{"replace", "/deploymentId", id}, [3]string{"replace", "/variables/lambdaAlias", "dev"})
				}
				theirs = other.read()
				l.proxy.forget()
			})
			_, err := act()
			if !errors.Is(err, stage.ErrChanged) || errors.Is(err, stage.ErrNotTaken) {
				t.Errorf("%v", err)
			}
			for _, change := range l.proxy.changes() {
				if strings.HasPrefix(change, "PATCH ") {
					t.Errorf("the stage was patched after that: %s", change)
				}
			}
			l.same(l.read(), theirs)
		})
	}
}

// A deployment that the canary was refused is not forgotten: the story stays open until it is deleted.
func TestDeploymentOfARefusedPatch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.withCanary()
	before := l.whole()
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PATCH" {
			awsError(w, 403, "AccessDeniedException", "not authorized")
		}
		return r.Method == "PATCH"
	})
	j := l.journal()
	if _, err := l.DeployCanary(t.Context(), j, l.ref, ""); err == nil {
		t.Fatal("not refused")
	}
	j.Close()
	l.proxy.with(nil)
	l.asBefore(before, "deployment left")
}

// AWS makes an empty canary of a patch that meets none. Where another client has removed the canary right before, that one
// is taken away again, and theirs, the removal, stays.
func TestCanaryRemovedRightBefore(t *testing.T) {
	t.Parallel()
	for name, deployed := range map[string]bool{"one deployment": false, "two": true} {
		for what, verb := range map[string]func(*lab, *stage.Journal, stage.Measured) (stage.Change, error){
			"promote": func(l *lab, j *stage.Journal, judged stage.Measured) (stage.Change, error) {
				return l.Promote(t.Context(), j, l.ref, judged, false)
			},
			"percent": func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
				return l.SetPercent(t.Context(), j, l.ref, 75)
			},
			"deploy": func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
				return l.DeployCanary(t.Context(), j, l.ref, "")
			},
			"abort": func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
				return l.Abort(t.Context(), j, l.ref, nil)
			},
		} {
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				j, other := l.journal(), l.direct()
				l.must(l.CreateCanary(t.Context(), j, l.ref, 50, map[string]string{"lambdaAlias": "staging"}))
				if deployed {
					l.must(l.DeployCanary(t.Context(), j, l.ref, ""))
				}
				judged := l.measured()
				var theirs stage.State
				l.meanwhile(func(r *http.Request) bool { return r.Method == "PATCH" }, func() {
					other.patch([3]string{"remove", "/canarySettings", ""})
					theirs = other.read()
				})
				_, err := verb(l, j, judged)
				if !errors.Is(err, stage.ErrChanged) || errors.Is(err, stage.ErrNotTaken) {
					t.Errorf("%v", err)
				}
				l.same(l.read(), theirs)
			})
		}
	}
}

// A stage that reads as before though AWS has answered that it was patched may be patched all the same, and read late: it
// is not said to be undone, and the story stays open.
func TestReadingsLagBehind(t *testing.T) {
	t.Parallel()
	l, other, j := live(t)
	judged, before := l.measured(), other.read()
	stale := httptest.NewRecorder()
	var reads atomic.Int64
	var patched atomic.Bool
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case !strings.HasSuffix(r.URL.Path, "/stages/prod"):
			return false
		case r.Method == "PATCH":
			if !patched.Load() {
				was := r.Clone(r.Context())
				was.Method, was.Body, was.ContentLength = "GET", http.NoBody, 0
				l.proxy.next.ServeHTTP(stale, was)
			}
			patched.Store(true)
			return false
		case !patched.Load() || reads.Add(1) > 3:
			return false
		}
		maps.Copy(w.Header(), stale.Header())
		w.Write(stale.Body.Bytes())
		return true
	})
	_, err := l.Promote(t.Context(), j, l.ref, judged, false)
	if err == nil || errors.Is(err, stage.ErrNotTaken) || strings.Contains(err.Error(), "undone") {
		t.Errorf("%v", err)
	}
	before.Canary = nil // as before the story
	j.Close()
	if _, err := l.Recover(t.Context(), j.Path()); err != nil {
		t.Error(err)
	}
	l.same(l.read(), before)
}

// The outcome of a step that a full disk kept out of the journal is not taken for the outcome of the step before.
func TestRoomAgain(t *testing.T) {
	t.Parallel()
	l, _, j := live(t)
	room := j.Fill()
	l.meanwhile(func(r *http.Request) bool { return r.Method == "PATCH" }, room)
	l.must(l.Abort(t.Context(), j, l.ref, nil))
	data, err := os.ReadFile(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	if begun, done := strings.Count(string(data), `{"begun":`), strings.Count(string(data), `{"done":`); begun != done {
		t.Errorf("%d steps begun, %d done:\n%s", begun, done, data)
	}
}
