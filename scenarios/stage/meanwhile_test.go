package stage_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"coalmine/scenarios/stage"
)

// What another client changes between a verb's last reading and its patch, and the patch does not touch, is theirs: it is
// told, never taken back, and not the control plane's fault. What was judged is undone without it.
func TestAnotherClientRightBefore(t *testing.T) {
	t.Parallel()
	type act = func(l *lab, j *stage.Journal, judged stage.Measured) (stage.Change, error)
	patched := func(r *http.Request) bool { return r.Method == "PATCH" }
	canary := func(t *testing.T) (*lab, *stage.Journal, stage.Measured) {
		l, _, j := live(t)
		return l, j, l.measured()
	}
	promoted := func(t *testing.T) (*lab, *stage.Journal, stage.Measured) {
		l, j, judged, _ := promoted(t)
		return l, j, judged
	}
	for name, c := range map[string]struct {
		begin  func(t *testing.T) (*lab, *stage.Journal, stage.Measured)
		do     act
		undone bool // what the verb did
		back   bool // it is a way back, which goes to its end
	}{
		"promote": {begin: canary, undone: true, do: func(l *lab, j *stage.Journal, judged stage.Measured) (stage.Change, error) {
			return l.Promote(t.Context(), j, l.ref, judged, false)
		}},
		"repoint": {begin: promoted, undone: true, do: func(l *lab, j *stage.Journal, judged stage.Measured) (stage.Change, error) {
			return l.Repoint(t.Context(), j, l.ref, judged)
		}},
		"percent": {begin: canary, do: func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
			return l.SetPercent(t.Context(), j, l.ref, 75)
		}},
		"deploy": {begin: canary, do: func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
			return l.DeployCanary(t.Context(), j, l.ref, "")
		}},
		"abort": {begin: canary, back: true, do: func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
			return l.Abort(t.Context(), j, l.ref, nil)
		}},
		"rollback": {begin: promoted, back: true, do: func(l *lab, j *stage.Journal, _ stage.Measured) (stage.Change, error) {
			to, _ := j.BeforePromote()
			return l.Rollback(t.Context(), j, l.ref, to)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, j, judged := c.begin(t)
			other, before := l.direct(), l.read()
			l.meanwhile(patched, func() { other.patch([3]string{"replace", "/variables/who", "other1"}) })
			ch, err := c.do(l, j, judged)
			const who = `right before it was patched: variable who: unset -> "other1"`
			after := l.read()
			if after.Variables["who"] != "other1" {
				t.Errorf("their variable is gone: %v", after.Variables)
			}
			switch {
			case c.back:
				if err != nil || !strings.Contains(strings.Join(ch.Notes, "\n"), who) || after.Canary != nil || after.Variables["lambdaAlias"] != "prod" {
					t.Errorf("%v, notes %v, after %+v", err, ch.Notes, after)
				}
				return
			case !errors.Is(err, stage.ErrChanged) || errors.Is(err, stage.ErrNotTaken) || !strings.Contains(err.Error(), who) || ch.Touched == c.undone:
				t.Errorf("touched %v: %v", ch.Touched, err)
			case c.undone != strings.HasSuffix(err.Error(), "; undone, the stage is as it was but for that change"):
				t.Errorf("%v", err)
			}
			if c.undone {
				before.Variables["who"] = "other1"
				l.same(after, before)
				l.leads("prod", "version 1")
			}
		})
	}
}

// An override that another client adds right before a promote is copied with the others: it is taken out of the stage again,
// and stays in their canary.
func TestOverrideRightBeforeAPromote(t *testing.T) {
	t.Parallel()
	l, other, j := live(t)
	judged, before := l.measured(), l.read()
	l.during("PATCH", 0, "", func() {
		other.patch([3]string{"replace", "/canarySettings/stageVariableOverrides/zz", "hi"}, [3]string{"replace", "/variables/who", "other1"})
	})
	_, err := l.Promote(t.Context(), j, l.ref, judged, false)
	if !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), `variable who: unset -> "other1"; canary override zz: unset -> "hi"`) {
		t.Errorf("%v", err)
	}
	before.Variables["who"], before.Canary.Overrides["zz"] = "other1", "hi"
	l.same(l.read(), before)
}

// Undone but for somebody else's change, a story of one promote leaves nothing to recover.
func TestUndoneButForTheirsIsFinished(t *testing.T) {
	t.Parallel()
	l, other, j := live(t)
	if err := j.Done(false); err != nil {
		t.Fatal(err)
	}
	judged := l.measured()
	l.during("PATCH", 0, "", func() { other.patch([3]string{"replace", "/variables/who", "other1"}) })
	if _, err := l.Promote(t.Context(), j, l.ref, judged, false); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("%v", err)
	}
	j.Close()
	l.journal()
}

// A canary that another client makes right before a create is changed by it: it stays theirs, without traffic.
func TestCanaryMadeRightBeforeACreate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	other, j := l.direct(), l.journal()
	var theirs stage.State
	l.during("PATCH", 0, "", func() {
		id := other.deployment()
		other.patch([3]string{"replace", "/canarySettings/deploymentId", id}, [3]string{"replace", "/canarySettings/stageVariableOverrides/zz", "hi"})
		theirs = other.read()
	})
	_, err := l.CreateCanary(t.Context(), j, l.ref, 50, map[string]string{"lambdaAlias": "staging"})
	if !errors.Is(err, stage.ErrChanged) || !strings.HasSuffix(err.Error(), "; undone, the stage is as it was but for somebody else's canary, which is left at 0%") {
		t.Errorf("%v", err)
	}
	l.same(l.read(), theirs)
	if _, err := l.Abort(t.Context(), j, l.ref, nil); !errors.Is(err, stage.ErrChanged) {
		t.Errorf("aborted: %v", err)
	}
}
