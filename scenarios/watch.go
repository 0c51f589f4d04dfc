package scenarios

import (
	"context"
	"errors"
	"strings"
	"time"

	"coalmine/analyze"
	"coalmine/scenarios/stage"
)

// watcher reads what is under test every few seconds while load goes out: a verdict is about what was measured, not about
// another stage. One look that fails is no news; a stage that is gone is a change, and credentials that no longer work are
// told at once.
type watcher struct {
	every   time.Duration // 0: 2 s
	ref     stage.Ref
	live    func() stage.Measured // under test
	read    func(context.Context) (stage.Measured, error)
	note    func(name string, detail map[string]string)
	warn    func(line string)
	without string // what credentials that no longer work mean
}

// watcher is the story's, whose acting will need the credentials.
func (s *Story) watcher() *watcher {
	return &watcher{every: s.Look, ref: s.Control.Ref, live: func() stage.Measured { return s.Control.Live }, read: s.read, note: s.Recorder.Note,
		warn: func(line string) { s.lines([]string{line}) }, without: "nothing can be promoted or rolled back"}
}

// watch looks until something has changed, or the context ends.
func (s *Story) watch(ctx context.Context) {
	if s.Control != nil {
		s.watcher().watch(ctx)
	}
}

// look reads what is under test once more, and notes what is not as it was.
func (s *Story) look(ctx context.Context) (changed bool, err error) {
	if s.Control == nil {
		return false, nil
	}
	return s.watcher().look(ctx)
}

func (w *watcher) watch(ctx context.Context) {
	every := w.every
	if every == 0 {
		every = 2 * time.Second
	}
	looks := time.NewTicker(every)
	defer looks.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
		changed, err := w.look(ctx)
		if changed || ctx.Err() != nil {
			return
		}
		if errors.Is(err, stage.ErrCredentials) && !told {
			told = true
			w.note(analyze.ControlTrouble, map[string]string{"what": err.Error()})
			w.warn("warning: " + err.Error() + ": the load goes on, but " + w.without + " until the credentials are renewed")
		}
	}
}

func (w *watcher) look(ctx context.Context) (changed bool, err error) {
	live := w.live()
	if live.Stage == nil && live.Aliases == nil {
		return false, nil
	}
	now, err := w.read(ctx)
	var changes []string
	switch {
	case stage.IsNotFound(err):
		changes = []string{gone(w.ref, err)}
	case err == nil:
		changes = now.Differs(w.live())
	}
	if len(changes) == 0 || ctx.Err() != nil {
		return false, err
	}
	w.note(analyze.StageChanged, map[string]string{"what": strings.Join(changes, ", ")})
	return true, nil
}

// gone says what is: the splitter itself, or an alias behind one of the arms.
func gone(ref stage.Ref, err error) string {
	var refused *stage.RequestError
	switch {
	case !errors.As(err, &refused) || isSplitter(ref, refused):
		return splitter(ref) + " is gone"
	case refused.Operation == "GetAlias":
		return "an alias behind it is gone: " + refused.Error()
	}
	return "what is behind it is gone: " + refused.Error()
}

// gone reports that what splits the traffic is, and the canary with it.
func (s *Story) gone(err error) bool {
	var refused *stage.RequestError
	return stage.IsNotFound(err) && errors.As(err, &refused) && isSplitter(s.Control.Ref, refused)
}

// isSplitter reports whether a request was about what splits the traffic, and not about an alias or a function behind it.
func isSplitter(ref stage.Ref, r *stage.RequestError) bool {
	if ref.Weighted() {
		return strings.HasSuffix(r.Operation, "Alias")
	}
	return strings.HasSuffix(r.Operation, "Stage") || r.Operation == "GetRestApi"
}

// splitter is what splits the traffic, in words.
func splitter(ref stage.Ref) string {
	if ref.Weighted() {
		return "alias " + Splitter(ref)
	}
	return "stage " + Splitter(ref)
}
