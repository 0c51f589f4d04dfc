package scenarios

import (
	"context"
	"fmt"
	"sync"
	"time"

	"coalmine/analyze"
	"coalmine/attack"
)

// Recorder ties a run together: what happens is written to the run file and told to the judge, in one order, so that
// the file read again gives the same verdict. Events may come from any goroutine; the others belong to one.
type Recorder struct {
	Judge *analyze.Judge
	Watch func(analyze.Analysis) // told how things stand, several times a second; may be nil

	file    *analyze.Writer
	started time.Time
	phase   string
	looked  time.Duration
	watched time.Time
	lost    bool // the file cannot be written any more, and that was told

	mu     sync.Mutex
	events []analyze.Event // not yet told
}

// NewRecorder begins a run: the header is its first record.
func NewRecorder(h analyze.Header, file *analyze.Writer) (*Recorder, error) {
	judge, err := analyze.NewJudge(h)
	if err != nil {
		return nil, err
	}
	judge.KeepTimeline()
	if file.Write(analyze.Record{Header: &h}); file.Err() != nil {
		return nil, fmt.Errorf("run file: %w", file.Err())
	}
	return &Recorder{Judge: judge, file: file, started: h.Started}, nil
}

// Note says that something happens now.
func (r *Recorder) Note(name string, detail map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, analyze.Event{At: time.Since(r.started), Phase: r.phase, Name: name, Detail: detail})
}

// tell passes on what was noted.
func (r *Recorder) tell() {
	r.mu.Lock()
	events := r.events
	r.events = nil
	r.mu.Unlock()
	for _, e := range events {
		r.file.Write(analyze.Record{Event: &e})
		r.Judge.Note(e)
	}
}

func (r *Recorder) add(w attack.Window) {
	r.tell()
	r.file.Write(analyze.Record{Window: &w})
	r.Judge.Add(w)
	if w.End()-r.looked >= time.Second {
		r.looked = w.End()
		r.look()
	}
	if r.Watch != nil && time.Since(r.watched) >= 200*time.Millisecond {
		r.watched = time.Now()
		r.Watch(r.Judge.Analysis())
	}
}

func (r *Recorder) look() {
	if look := r.Judge.Look(); len(look.Checks) > 0 {
		r.file.Write(analyze.Record{Look: &look})
	}
}

// Traffic sends a phase's load until the judge has seen enough, the plan ends or the context does.
func (r *Recorder) Traffic(ctx context.Context, plan attack.Plan, detail map[string]string) {
	patience := r.Judge.Patience()
	plan.Patience = func() time.Duration { return patience }
	r.send(ctx, plan, detail, func(attack.Window) bool { return r.Judge.Settled() })
	if r.Watch != nil {
		r.Watch(r.Judge.Analysis())
	}
}

// send sends a phase's load until a window was enough, the plan ends or the context does.
func (r *Recorder) send(ctx context.Context, plan attack.Plan, detail map[string]string, enough func(attack.Window) bool) {
	r.mu.Lock()
	r.phase = plan.Phase
	r.mu.Unlock()
	plan.Epoch = r.started
	tell := plan.Trouble
	plan.Trouble = func(what string) {
		r.Note(analyze.Note, map[string]string{"text": what})
		if tell != nil {
			tell(what)
		}
	}
	r.Note(analyze.PhaseBegin, detail)
	r.tell()
	clock := newClock()
	allowed, due, done := plan.Allowed(), uint64(0), false
	for window := range attack.Run(ctx, plan) {
		if jump := clock.jump(); jump != 0 {
			r.Note(analyze.ClockJump, map[string]string{"by": jump.String()})
		}
		r.add(window)
		// The load goes on: verdict and reports come from memory, and what a story has begun has to be brought to its end.
		if err := r.file.Err(); err != nil && !r.lost {
			r.lost = true
			plan.Trouble(fmt.Sprintf("the run file cannot be written any more: %s: what follows is not in it", err))
		}
		due += window.Due
		if done = enough(window); done {
			break
		}
	}
	if plan.Budget != nil && due >= allowed && !done {
		r.Note(analyze.RequestsSpent, map[string]string{"limit": analyze.Count(plan.Budget.Limit())})
	}
	r.Note(analyze.PhaseEnd, nil)
	r.tell()
}

// Conclude writes the verdict down, once the during phase is over.
func (r *Recorder) Conclude() {
	r.tell()
	r.look()
	verdict := r.Judge.Conclude()
	r.file.Write(analyze.Record{Verdict: &verdict})
}

// Finish writes the end, and returns what is known with the first error of the file.
func (r *Recorder) Finish(end analyze.End) (analyze.Analysis, error) {
	r.tell()
	r.file.Write(analyze.Record{End: &end})
	r.Judge.Finish(end)
	if err := r.file.Err(); err != nil {
		return r.Judge.Analysis(), fmt.Errorf("run file: %w", err)
	}
	return r.Judge.Analysis(), nil
}

// clock watches the wall clock against the monotonic one.
type clock struct{ last time.Time }

const jumps = time.Second

func newClock() *clock { return &clock{time.Now()} }

// jump is by how much the wall clock moved on its own since the last call, 0 while that is little.
func (c *clock) jump() time.Duration {
	now := time.Now()
	by := now.Round(0).Sub(c.last.Round(0)) - now.Sub(c.last)
	c.last = now
	if by.Abs() < jumps {
		return 0
	}
	return by
}
