package scenarios

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"coalmine/scenarios/emulator"
)

// denied lets AWS refuse the patches in which this is, until they are allowed.
func (r *rig) denied(part string) (allow func()) {
	var allowed atomic.Bool
	r.through(func(w http.ResponseWriter, req *http.Request, body string) bool {
		if allowed.Load() || !control(req) || req.Method != http.MethodPatch || !strings.Contains(body, part) {
			return false
		}
		refuse(w, 403, "AccessDeniedException", "not authorized")
		return true
	})
	return func() { allowed.Store(true) }
}

// A promote whose canary's settings could not be taken away is a promote: it is confirmed, and not taken back.
func TestPromotedWithSettingsLeft(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	r.denied(`"remove"`)
	p := r.unbaked()
	a, err := r.tell(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "promoted, but its settings are left at 0%: UpdateStage ") {
		t.Errorf("%v", err)
	}
	now := r.state()
	if now.Variables["lambdaAlias"] != "staging" || now.Canary == nil || now.Canary.Percent != 0 {
		t.Errorf("the stage is %+v, canary %s", now, now.Canary)
	}
	if last := a.Phases[len(a.Phases)-1].Name; last != "after" {
		t.Errorf("the last phase is %s", last)
	}
	if _, open := p.Story.Control.Journal.Before(); open {
		t.Error("the journal is left unfinished")
	}
}

// Where going back is not allowed, a repoint that broke off leaves the journal open, for recover to take all of it back.
func TestHalfRepointedStaysOpen(t *testing.T) {
	r := newRig(t, emulator.Faults{Seed: 1})
	before := r.state()
	allow := r.denied(`"/variables/lambdaAlias"`)
	p := r.unbaked()
	p.Story.Act.Reject, p.Story.Then = Hold, Repoint
	_, err := r.tell(t.Context(), p)
	j := p.Story.Control.Journal
	if err == nil || !strings.Contains(err.Error(), "promoted, and half repointed: coalmine canary recover "+j.Path()) {
		t.Errorf("%v", err)
	}
	if _, open := j.Before(); !open {
		t.Error("the journal is closed")
	}
	r.must(j.Close())
	allow()
	_, err = r.client.Recover(t.Context(), j.Path())
	r.must(err)
	check(t, "recovered", r.state().Differs(before), nil)
	alias, err := r.client.ReadAlias(t.Context(), "getProducts", "prod")
	r.must(err)
	check(t, "alias", alias.Version, "1")
}
