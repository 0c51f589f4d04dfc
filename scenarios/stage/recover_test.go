package stage_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"coalmine/scenarios/stage"
)

// nothingToUndo ends a story whose journal is there, with nothing sent that changes the stage, and a note on why.
func (l *lab) nothingToUndo(path, note string) {
	l.t.Helper()
	before := l.whole()
	l.proxy.forget()
	changes, err := l.Recover(l.t.Context(), path)
	if err != nil || len(changes) != 1 || !strings.Contains(strings.Join(changes[0].Results(), "\n"), note) {
		l.t.Errorf("%v %v, want %q", changes, err, note)
	}
	for _, change := range l.proxy.changes() {
		if !strings.HasPrefix(change, "DELETE ") {
			l.t.Errorf("sent %s", change)
		}
	}
	l.same(l.whole().stage, before.stage)
	if changes, err := l.Recover(l.t.Context(), path); err != nil || len(changes) > 0 {
		l.t.Errorf("a second recover: %v %v", changes, err)
	}
	l.journal().Close()
}

// A canary that somebody else has taken away needs no undoing, when nothing else is another than before.
func TestRecoverWhenTheCanaryIsGone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	before := l.whole()
	path, _ := unfinished(l)
	l.patch([3]string{"remove", "/canarySettings"})
	l.nothingToUndo(path, "nothing to undo: stage prod of API "+l.ref.API+" is as it was")
	if now := l.whole(); now.deployments != before.deployments {
		t.Errorf("%d deployments, were %d", now.deployments, before.deployments)
	}

	// One that was there before the story does not come back.
	l.withCanary()
	j := l.journal()
	l.must(l.SetPercent(t.Context(), j, l.ref, 75))
	j.Close()
	l.patch([3]string{"remove", "/canarySettings"})
	l.nothingToUndo(j.Path(), "nothing to undo: stage prod of API "+l.ref.API+" is else as it was, its canary gone by somebody else's doing")

	// With something else changed it is for a person to say.
	l.withCanary()
	j = l.journal()
	l.must(l.SetPercent(t.Context(), j, l.ref, 75))
	j.Close()
	l.patch([3]string{"remove", "/canarySettings"}, [3]string{"replace", "/variables/color", "red"})
	theirs := l.read()
	_, err := l.Recover(t.Context(), j.Path())
	if !errors.Is(err, stage.ErrChanged) || !strings.HasSuffix(err.Error(), "; coalmine canary recover --dismiss "+j.Path()+" leaves the stage as it is and closes the journal; --anyway puts back what was") {
		t.Errorf("%v", err)
	}
	l.same(l.read(), theirs)
}

func TestRecoverWhenTheWeightsAreGone(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	j := l.journal()
	l.must(l.SetPercent(t.Context(), j, l.ref, 50))
	j.Close()
	l.point("prod", "1", nil)
	dry := errors.New("dry run")
	l.Announce = func(stage.Change) error { return dry }
	if _, err := l.Recover(t.Context(), j.Path()); !errors.Is(err, dry) {
		t.Errorf("%v", err)
	}
	l.Announce = nil
	if _, err := l.OpenJournal(l.dir, l.ref); !errors.Is(err, stage.ErrUnfinished) {
		t.Errorf("after a dry run: %v", err)
	}
	changes, err := l.Recover(t.Context(), j.Path())
	if err != nil || len(changes) != 1 || !strings.Contains(changes[0].String(), "nothing to undo: alias prod of getProducts is else as it was") {
		t.Errorf("%v %v", changes, err)
	}
	l.leads("prod", "version 1")
	l.journal()
}

// What is given up is named: a whole directory is refused.
func TestDismissWantsOneJournal(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	path, _ := unfinished(l)
	if _, err := stage.Dismiss(l.dir); err == nil || !strings.Contains(err.Error(), l.dir+" is a directory: name one journal in it") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if _, err := l.OpenJournal(l.dir, l.ref); !errors.Is(err, stage.ErrUnfinished) {
		t.Errorf("%v", err)
	}
}

// What only looked leaves no journal behind, and what acts later has one all the same.
func TestNoEmptyJournal(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Announce = func(stage.Change) error { return errors.New("dry run") }
	j := l.journal()
	if _, err := l.CreateCanary(t.Context(), j, l.ref, 50, nil); err == nil {
		t.Error("created")
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(j.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%+v %v", info, err)
	}
	l.Announce = nil
	// Two journals one after the other are still one lock.
	first := l.journal()
	if _, err := l.OpenJournal(l.dir, l.ref); !errors.Is(err, stage.ErrLocked) {
		t.Errorf("%v", err)
	}
	l.must(l.CreateCanary(t.Context(), first, l.ref, 50, nil))
	first.Close()
	if _, err := l.OpenJournal(l.dir, l.ref); !errors.Is(err, stage.ErrUnfinished) {
		t.Errorf("%v", err)
	}
}

// Whoever holds the journal holds it alone, also while others make it and take it away.
func TestEmptyJournalIsALockAllTheSame(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var holders, taken atomic.Int64
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 500 {
				j, err := l.OpenJournal(l.dir, l.ref)
				if errors.Is(err, stage.ErrLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n > 1 {
					t.Errorf("%d hold the journal", n)
				}
				if _, err := os.Stat(j.Path()); err != nil {
					t.Errorf("held, and no file: %v", err)
				}
				taken.Add(1)
				holders.Add(-1)
				j.Close()
			}
		})
	}
	wait.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got it")
	}
}

// An abort that was killed after it had deleted its canary's deployment cannot be undone any more: it is finished.
func TestRecoverAnAbortKilledAnywhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	bare := l.whole()
	finished := 0
	for n := int64(0); ; n++ {
		l.withCanary()
		before := l.whole()
		j := l.journal()
		var calls atomic.Int64
		l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
			k := calls.Add(1) - 1
			if k == n/2 && n%2 == 1 {
				l.proxy.next.ServeHTTP(httptest.NewRecorder(), r)
			}
			if k >= n/2 {
				cut()
			}
			return false
		})
		err := aborting(t.Context(), l.Client, j, l.ref)
		l.proxy.with(nil)
		path := l.crash(j)
		if _, err := l.Recover(t.Context(), path); err != nil {
			t.Fatalf("killed at call %d: %v", n, err)
		}
		now := l.whole()
		switch {
		case now.stage.Canary != nil || now.deployments == before.deployments:
			l.same(now.stage, before.stage)
			if now.deployments != before.deployments {
				t.Errorf("killed at call %d: %d deployments, were %d", n, now.deployments, before.deployments)
			}
			l.must(l.Abort(t.Context(), l.journal(), l.ref, nil))
		default:
			finished++
			l.same(now.stage, bare.stage)
		}
		l.dir = memory(t)
		if t.Failed() {
			t.Fatalf("killed at call %d (%v)", n, err)
		}
		if calls.Load() <= n/2 {
			break
		}
	}
	if finished < 2 {
		t.Errorf("finished %d times", finished)
	}
}

// An abort whose tidying up was cut short is no finished story: the journal stays open though its caller takes it for
// restored, and recover deletes what was left.
func TestUntidyStoryStaysOpen(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(l *lab, w http.ResponseWriter, cancel context.CancelFunc){
		"network": func(_ *lab, _ http.ResponseWriter, _ context.CancelFunc) { cut() },
		"expired": func(_ *lab, w http.ResponseWriter, _ context.CancelFunc) { awsError(w, 403, "ExpiredToken", "expired") },
		"throttle": func(_ *lab, w http.ResponseWriter, _ context.CancelFunc) {
			awsError(w, 429, "TooManyRequestsException", "no")
		},
		"deadline": func(_ *lab, _ http.ResponseWriter, cancel context.CancelFunc) { cancel(); cut() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			before := l.whole()
			j := l.journal()
			l.must(l.CreateCanary(t.Context(), j, l.ref, 50, overrides))
			l.must(l.DeployCanary(t.Context(), j, l.ref, ""))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/stages") {
					return false
				}
				trouble(l, w, cancel)
				return true
			})
			ch := l.must(l.Abort(ctx, j, l.ref, nil))
			l.proxy.with(nil)
			if notes := strings.Join(ch.Notes, "; "); !strings.Contains(notes, "an unused deployment of coalmine's is left: ") || !strings.HasSuffix(notes, "; coalmine canary recover "+j.Path()+" deletes it") {
				t.Errorf("notes %q", ch.Notes)
			}
			if err := errors.Join(j.Done(true), j.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := l.OpenJournal(l.dir, l.ref); !errors.Is(err, stage.ErrUnfinished) {
				t.Errorf("%v", err)
			}
			l.asBefore(before, name)
		})
	}
}
