package analyze

import (
	"errors"
	"fmt"
	"io"
	"time"

	"coalmine/attack"
)

// Sought is what a run would ask an access log.
type Sought struct {
	Header      Header
	IDs         map[attack.RequestID]struct{} // of hits without a version while a canary was there
	First, Last time.Time                     // due and answered, by the wall clock of who sent them
	Deployment  string                        // of the canary that the run made, "" where it made none
}

// Seek reads a run file for the ids of its hits without a version.
func Seek(r io.Reader) (Sought, error) {
	s := Sought{IDs: map[attack.RequestID]struct{}{}}
	err := Read(r, func(record Record) error {
		switch {
		case record.Header != nil:
			s.Header = *record.Header
		case record.Event != nil && record.Event.Name == CanaryDeployed:
			s.Deployment = record.Event.Detail["deployment"]
		case record.Window != nil && mixed(record.Window.Phase):
			s.add(record.Window)
		}
		return nil
	})
	if errors.Is(err, ErrTruncated) && s.Header.Format != "" {
		err = nil
	}
	return s, err
}

func (s *Sought) add(w *attack.Window) {
	due := func(a attack.Answers, index int64) {
		for _, h := range a.IDs {
			s.IDs[h.ID] = struct{}{}
			sent := s.Header.Started.Add(time.Duration(index) * attack.WindowLength)
			if s.First.IsZero() || sent.Before(s.First) {
				s.First = sent
			}
			if answered := s.Header.Started.Add(h.Answered); answered.After(s.Last) {
				s.Last = answered
			}
		}
	}
	due(w.Answers, w.Index)
	for _, l := range w.Late {
		due(l.Answers, l.Index)
	}
}

// A Join is a run judged anew with what an access log says.
type Join struct {
	Name   string // of the log, for the note that the run gets
	Log    AccessLog
	Out    io.Writer // takes the run as attributed, a run file; may be nil
	Joined           // what came of it
}

// note is what the attributed run says of itself, "" where nothing was moved.
func (j *Join) note() string {
	if j.Moved() == 0 {
		return ""
	}
	return fmt.Sprintf("by access log %s %s without a version were attributed: %s to the canary, %s to the baseline",
		j.Name, outOf(j.Moved(), j.All()), Count(j.Canary), Count(j.Baseline))
}

func outOf(k, n uint64) string {
	if k == n {
		return plural(k, "hit", "hits")
	}
	return fmt.Sprintf("%s of %s", Count(k), plural(n, "hit", "hits"))
}

// attribute changes a record that is a window.
func (j *Join) attribute(record *Record, t Target) (changed bool) {
	if record.Window == nil {
		return false
	}
	w, joined := Attribute(*record.Window, t, j.Log)
	j.add(joined)
	record.Window = &w
	return joined.Moved() > 0
}
