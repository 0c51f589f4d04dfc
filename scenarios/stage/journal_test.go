package stage_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"coalmine/scenarios/stage"
)

// unfinished leaves a journal behind as a killed run does.
func unfinished(l *lab) (path string, before stage.State) {
	l.t.Helper()
	before = l.read()
	j := l.journal()
	l.must(l.CreateCanary(l.t.Context(), j, l.ref, 50, overrides))
	l.must(l.DeployCanary(l.t.Context(), j, l.ref, "release"))
	if err := j.Close(); err != nil {
		l.t.Fatal(err)
	}
	return j.Path(), before
}

func TestUnfinishedJournalIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	path, before := unfinished(l)
	_, err := l.OpenJournal(l.dir, l.ref)
	if !errors.Is(err, stage.ErrUnfinished) || !strings.Contains(err.Error(), "coalmine canary recover "+path) ||
		!strings.Contains(err.Error(), "create canary, deploy canary") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	changes, err := l.Recover(t.Context(), l.dir) // the directory will do as well
	if err != nil || len(changes) != 1 || len(changes[0].Deleted) != 1 {
		t.Errorf("%v %v", changes, err)
	}
	l.same(l.read(), before)
	if changes, err := l.Recover(t.Context(), path); err != nil || len(changes) != 0 {
		t.Errorf("a second recover: %v %v", changes, err)
	}
	stories, err := stage.Stories(path)
	if err != nil || len(stories) != 1 || stories[0].End == nil || !stories[0].End.Restored {
		t.Errorf("%+v %v", stories, err)
	}
	l.journal()
}

// Whatever is missing at the end of the file, its last lines or part of one,
// the stage comes back.
func TestTornJournal(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	before := l.read()
	path, _ := unfinished(l)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := l.read()
	// The request of the last step is known to have been sent, so the file
	// cannot be shorter than its begin record: that much was synced first.
	lastBegun := strings.LastIndex(string(whole), `{"begun"`)
	synced := lastBegun + strings.Index(string(whole)[lastBegun:], "\n") + 1
	for _, tail := range []string{"", "{", `{"done":{"at":"2026`, "\x00\x00\x00", "{}\n", `{"later":{"kind":1}}` + "\n", "\x00\x00\n"} {
		for cut := synced; cut <= len(whole); cut += 7 {
			if err := os.WriteFile(path, append(append([]byte(nil), whole[:cut]...), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(tail, "\n") && cut != synced {
				continue // not a line of its own then
			}
			if _, err := l.OpenJournal(l.dir, l.ref); !errors.Is(err, stage.ErrUnfinished) {
				t.Fatalf("torn at %d, tail %q: %v", cut, tail, err)
			}
		}
	}
	l.same(l.read(), after)
	if _, err := l.Recover(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	l.same(l.read(), before)

	// A broken line that is not the last is no tear.
	if err := os.WriteFile(path, []byte("{\n"+string(whole)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.OpenJournal(l.dir, l.ref); err == nil || errors.Is(err, stage.ErrUnfinished) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("%v", err)
	}
}

func TestOneJournalAtATime(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	j := l.journal()
	if _, err := l.OpenJournal(l.dir, l.ref); !errors.Is(err, stage.ErrLocked) {
		t.Errorf("%v", err)
	}
	if _, err := l.Recover(t.Context(), j.Path()); !errors.Is(err, stage.ErrLocked) {
		t.Errorf("%v", err)
	}
	dev := l.ref
	dev.Stage = "dev"
	other, err := l.OpenJournal(l.dir, dev)
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	j.Close()
	again, err := l.OpenJournal(l.dir, l.ref)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := l.CreateCanary(t.Context(), again, l.ref, 5, nil); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("on a closed journal: %v", err)
	}
}

// The journal is written before the request: what is on disk when the first
// patch arrives is enough to restore.
func TestJournalComesFirst(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	j := l.journal()
	if want := l.Account() + "-eu-west-1-" + l.system.API + "-prod.ndjson"; !strings.HasSuffix(filepath.Base(j.Path()), "-"+want) {
		t.Errorf("%s does not end in %s", j.Path(), want)
	}
	var seen []stage.Story
	l.proxy.with(onPatch(func() {
		stories, err := stage.Stories(j.Path())
		if err != nil {
			t.Error(err)
		}
		seen = stories
	}))
	before := l.read()
	l.must(l.CreateCanary(t.Context(), j, l.ref, 50, overrides))
	if len(seen) != 1 || len(seen[0].Steps) != 1 || seen[0].Steps[0].Outcome != nil || seen[0].Steps[0].Operations[0].Path != "/canarySettings/percentTraffic" {
		t.Fatalf("on disk at the patch: %+v", seen)
	}
	l.same(seen[0].Before, before)
	data, err := os.ReadFile(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var record map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &record); err != nil || len(record) != 1 {
			t.Errorf("line %s: %v", line, err)
		}
	}
	if info, _ := os.Stat(j.Path()); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if strings.Contains(strings.ToLower(string(data)), "secret") || strings.Contains(string(data), "Authorization") {
		t.Errorf("a secret in %s", data)
	}
}

// Recover does not overwrite what somebody else made of the stage meanwhile.
func TestRecoverRefusesASomebodyElsesStage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	path, before := unfinished(l)
	_, err := l.Gateway().UpdateStage(t.Context(), &apigateway.UpdateStageInput{
		RestApiId: &l.ref.API, StageName: &l.ref.Stage,
		PatchOperations: []types.PatchOperation{{Op: types.OpReplace, Path: aws.String("/variables/lambdaAlias"), Value: aws.String("dev")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	theirs := l.read()
	if _, err := l.Recover(t.Context(), path); !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), `variable lambdaAlias: "prod" -> "dev"`) {
		t.Errorf("%v", err)
	}
	l.same(l.read(), theirs)
	if _, err := l.RecoverAnyway(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	l.same(l.read(), before)
}

func TestRecoverWhenTheStageIsGone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	path, _ := unfinished(l)
	if _, err := l.Gateway().DeleteStage(t.Context(), &apigateway.DeleteStageInput{RestApiId: &l.ref.API, StageName: &l.ref.Stage}); err != nil {
		t.Fatal(err)
	}
	changes, err := l.Recover(t.Context(), path)
	if err != nil || len(changes) != 1 || !strings.Contains(changes[0].String(), "gone") {
		t.Errorf("%v %v", changes, err)
	}
	l.journal()
}

// A journal is about one control plane; another has the same names.
func TestRecoverOnAnotherControlPlane(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	path, _ := unfinished(l)
	other := newLab(t)
	other.proxy.forget()
	if _, err := other.Recover(t.Context(), path); err == nil || !strings.Contains(err.Error(), l.proxy.URL) {
		t.Errorf("%v", err)
	}
	if changes, err := other.Recover(t.Context(), l.dir); err != nil || len(changes) > 0 {
		t.Errorf("%v %v", changes, err)
	}
	if n := other.proxy.calls.Load(); n > 0 {
		t.Errorf("%d calls to another control plane", n)
	}
}

// With a journal that cannot be written nothing is begun, but what was begun
// is taken back.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	before := l.read()
	j := l.journal()
	l.must(l.CreateCanary(ctx, j, l.ref, 50, overrides))
	l.must(l.DeployCanary(ctx, j, l.ref, ""))
	j.Break()
	l.proxy.forget()
	if _, err := l.SetPercent(ctx, j, l.ref, 5); err == nil || !strings.Contains(err.Error(), j.Path()) || len(l.proxy.changes()) > 0 {
		t.Errorf("%v, sent %v", err, l.proxy.changes())
	}
	ch := l.must(l.Abort(ctx, j, l.ref, nil))
	l.same(ch.After, before)
	if len(ch.Notes) == 0 || !strings.Contains(ch.Notes[0], "not journaled: journal "+j.Path()) {
		t.Errorf("notes %q", ch.Notes)
	}
	j.Close()
	if changes, err := l.Recover(ctx, j.Path()); err != nil || len(changes) != 1 || len(changes[0].Operations) != 0 {
		t.Errorf("%v %v", changes, err)
	}
}

// As the first change of a story a rollback, which puts another release in place, is refused then; an abort, the emergency
// brake, is not.
func TestFullDiskAtFirst(t *testing.T) {
	t.Parallel()
	for verb, goesAhead := range map[string]bool{"abort": true, "rollback": false} {
		l, j, _, _ := promoted(t)
		if verb == "abort" {
			l.must(l.CreateCanary(t.Context(), j, l.ref, 10, map[string]string{"lambdaAlias": "dev"}))
		}
		if err := errors.Join(j.Done(false), j.Close()); err != nil {
			t.Fatal(err)
		}
		j = l.journal()
		j.Break()
		l.proxy.forget()
		var ch stage.Change
		var err error
		if verb == "abort" {
			ch, err = l.Abort(t.Context(), j, l.ref, nil)
		} else {
			to, _ := j.BeforePromote()
			ch, err = l.Rollback(t.Context(), j, l.ref, to)
		}
		if sent := len(l.proxy.changes()) > 0; (err == nil) != goesAhead || sent != goesAhead || ch.Touched != goesAhead {
			t.Errorf("%s: %v, sent %q", verb, err, l.proxy.changes())
		}
		if goesAhead != (len(ch.Notes) > 0) || !goesAhead && !strings.Contains(err.Error(), "roll back on prod: journal "+j.Path()) {
			t.Errorf("%s: %v, notes %q", verb, err, ch.Notes)
		}
	}
}

func TestDismiss(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	path, before := unfinished(l)
	theirs := l.read()
	if was, err := stage.Dismiss(path); !was || err != nil {
		t.Errorf("%v %v", was, err)
	}
	l.same(l.read(), theirs)
	if was, err := stage.Dismiss(path); was || err != nil {
		t.Errorf("%v %v", was, err)
	}
	if _, err := stage.Dismiss(path + "x"); err == nil {
		t.Error("dismissed a journal that is not there")
	}
	j := l.journal()
	l.must(l.Restore(t.Context(), j, l.ref, before))
}
