package stage_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"coalmine/scenarios/stage"
)

// A rollback takes back what the promote, and coalmine's changes since, have made: no canary that somebody has created
// since, and no deployment of theirs.
func TestRollbackLeavesOthersWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happen func(*lab)
		says   string
	}{
		"canary": {func(l *lab) {
			l.patch([3]string{"replace", "/canarySettings/deploymentId", l.deployment()}, [3]string{"replace", "/canarySettings/percentTraffic", "10"})
		}, "canary: none -> 10.0% to deployment "},
		"deployment": {func(l *lab) { l.patch([3]string{"replace", "/deploymentId", l.deployment()}) }, "deployment: "},
		"variable":   {func(l *lab) { l.patch([3]string{"replace", "/variables/color", "red"}) }, `variable color: unset -> "red"`},
	} {
		for _, repoint := range []bool{false, true} {
			l, j, judged, _ := promoted(t)
			if repoint {
				l.must(l.Repoint(t.Context(), j, l.ref, judged))
			}
			if name == "variable" { // another day
				if err := errors.Join(j.Done(false), j.Close()); err != nil {
					t.Fatal(err)
				}
				j = l.journal()
			}
			c.happen(l)
			theirs := l.read()
			to, _ := j.BeforePromote()
			l.proxy.forget()
			ch, err := l.Rollback(t.Context(), j, l.ref, to)
			if !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "roll back on prod: stage changed under test, by somebody else since the promote: "+c.says) || ch.Touched {
				t.Errorf("%s: %v", name, err)
			}
			if len(l.proxy.changes()) > 0 {
				t.Errorf("%s: sent %v", name, l.proxy.changes())
			}
			l.same(l.read(), theirs)
		}
	}
}

// What coalmine itself has done since, or half done, is no reason to refuse; nor is a setting that it never changes.
func TestRollbackOfWhatCameAfter(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(l *lab, j *stage.Journal, judged stage.Measured){
		"another canary": func(l *lab, j *stage.Journal, _ stage.Measured) {
			l.must(l.CreateCanary(t.Context(), j, l.ref, 10, map[string]string{"lambdaAlias": "dev"}))
			l.must(l.Abort(t.Context(), j, l.ref, nil))
		},
		"half a repoint": func(l *lab, j *stage.Journal, judged stage.Measured) {
			l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == "PATCH" {
					awsError(w, 403, "AccessDeniedException", "no")
				}
				return r.Method == "PATCH"
			})
			if _, err := l.Repoint(t.Context(), j, l.ref, judged); err == nil {
				t.Error("repointed")
			}
			l.proxy.with(nil)
			l.leads("prod", "version 2")
		},
		"by hand already": func(l *lab, _ *stage.Journal, judged stage.Measured) {
			l.patch([3]string{"replace", "/deploymentId", judged.Stage.DeploymentID}, [3]string{"remove", "/variables/extra"}, [3]string{"replace", "/variables/lambdaAlias", "prod"})
		},
		"half a promote": func(l *lab, j *stage.Journal, judged stage.Measured) {
			before, _ := j.Before()
			l.must(l.Rollback(t.Context(), j, l.ref, before))
			if err := j.Done(false); err != nil {
				t.Error(err)
			}
			l.must(l.CreateCanary(t.Context(), j, l.ref, 50, overrides))
			l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != "PATCH" || l.read().Canary.Percent != 0 {
					return false
				}
				awsError(w, 403, "AccessDeniedException", "no")
				return true
			})
			if _, err := l.Promote(t.Context(), j, l.ref, l.measured(), false); err == nil || !strings.Contains(err.Error(), "promoted, but its settings are left at 0%") {
				t.Errorf("%v", err)
			}
			l.proxy.with(nil)
		},
	} {
		l, j, judged, before := promoted(t)
		after(l, j, judged)
		to, found := j.BeforePromote()
		if !found {
			t.Fatalf("%s: the journal forgot the promote", name)
		}
		if _, err := l.Rollback(t.Context(), j, l.ref, to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		l.same(l.read(), before)
		l.leads("prod", "version 1")
	}
}

// A weighted alias, too: weights that somebody has given it since the promote are another canary.
func TestRollbackLeavesOthersWeights(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	j := l.journal()
	l.must(l.Promote(t.Context(), j, l.ref, l.measured(), false))
	l.point("prod", "2", map[string]float64{"3": 0.1})
	to, _ := j.BeforePromote()
	l.proxy.forget()
	if _, err := l.Rollback(t.Context(), j, l.ref, to); !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "alias prod of getProducts: version 2 -> version 2, 10.0% to version 3") || len(l.proxy.changes()) > 0 {
		t.Errorf("%v, sent %v", err, l.proxy.changes())
	}
	l.point("prod", "2", nil)
	l.must(l.Rollback(t.Context(), j, l.ref, to))
	l.leads("prod", "version 1")
}
