package analyze

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"coalmine/attack"
)

// Format names the run file's format; a reader refuses any other.
const Format = "coalmine.run/1"

// Header is the first line of a run file: what was asked of whom, under which policy.
type Header struct {
	Format  string          `json:"format"`
	Tool    string          `json:"tool"`
	Command string          `json:"command"` // run, gate, attack
	Name    string          `json:"name,omitempty"`
	Started time.Time       `json:"started"`
	Target  Target          `json:"target"`
	Plan    Plan            `json:"plan"`
	Policy  *Policy         `json:"policy,omitempty"` // none: nothing is judged
	Budget  uint64          `json:"n_budget,omitempty"`
	Stage   json.RawMessage `json:"stage,omitempty"` // as the control plane had it before anything was done
}

// Target is who is asked and which two versions are compared.
type Target struct {
	Where    string  `json:"where"`
	Method   string  `json:"method"`
	URL      string  `json:"url"` // without query and credentials
	API      string  `json:"api,omitempty"`
	Stage    string  `json:"stage,omitempty"`
	Baseline string  `json:"baseline"`
	Canary   string  `json:"canary"`
	Percent  float64 `json:"percent"`          // to the canary, 0 to 100
	Classify string  `json:"classify"`         // what tells the versions apart
	Covers   string  `json:"covers,omitempty"` // how much of the API: "1 of 23 methods (GET /products)"
}

// Alone reports that one version is to answer everything: who answers is asked, and nothing compared.
func (t Target) Alone() bool { return t.Percent == 100 }

// Share is the configured share of the canary, 0 to 1.
func (t Target) Share() float64 { return t.Percent / 100 }

// Plan is how the load was meant to be.
type Plan struct {
	Rate        float64       `json:"rate_per_s"` // 0: as fast as the connections allow
	Connections int           `json:"connections"`
	Timeout     time.Duration `json:"timeout_ns"`
	Bake        time.Duration `json:"bake_ns,omitempty"`      // the canary at 100 %, judged, before it is promoted; 0: none
	MaxHits     uint64        `json:"max_requests,omitempty"` // of all phases, and of what was asked before them; 0: no limit
	RequestIDs  bool          `json:"request_ids,omitempty"`  // each hit had its own
	Targets     []LoadTarget  `json:"targets,omitempty"`      // several, in place of the target's URL
}

// The kinds of phases. A phase of another stage than the tested one is "before/STAGE".
const (
	Before = "before"
	During = "during"
	Bake   = "bake" // the canary at 100 %, after the verdict of during and before it is promoted
	After  = "after"
	Attack = "attack" // traffic that nobody judges
)

// The names of events. Their details are texts.
const (
	PhaseBegin     = "phase.begin" // expect, absent: versions that alone must, or must not, answer in a before or after phase
	PhaseEnd       = "phase.end"
	CanaryCreated  = "canary.created" // asked for: the first change
	CanaryDeployed = "canary.deployed"
	Armed          = "armed"
	StageRead      = "stage.read"
	StageChanged   = "stage.changed"
	ClockJump      = "clock.jump"
	BreakerTripped = "breaker"
	PercentSet     = "percent.set"     // percent: of the canary from now on; error: it could not be set
	RequestsSpent  = "requests.spent"  // limit: no more requests may be sent
	ControlTrouble = "control.trouble" // what: the stage could not be read, for a reason that will not pass
	PromoteBegin   = "promote.begin"
	PromoteEnd     = "promote.end"
	RepointBegin   = "repoint.begin"
	RepointEnd     = "repoint.end"
	RollbackBegin  = "rollback.begin"
	RollbackEnd    = "rollback.end"
	Note           = "note"
)

// Event is something that happened beside the traffic.
type Event struct {
	At     time.Duration     `json:"at_ns"` // since the run began, monotonic
	Phase  string            `json:"phase,omitempty"`
	Name   string            `json:"name"`
	Detail map[string]string `json:"detail,omitempty"`
}

// Look is what the checks said at one moment.
type Look struct {
	At     time.Duration `json:"at_ns"`
	Checks []Evidence    `json:"checks"`
}

// Evidence is one check at one look, as natural logarithms.
type Evidence struct {
	Name string  `json:"name"`
	Pass float64 `json:"log_pass"`
	Fail float64 `json:"log_fail"`
}

// EndChanged is why a search for a capacity ended whose stage changed.
const EndChanged = "changed"

// End is why a run ended: verdict, budget, interrupted, breaker, changed or error. A run file without it crashed; one that is
// broken is unreadable.
type End struct {
	Reason string `json:"reason"`
	Error  string `json:"error,omitempty"`
}

// Record is one line of a run file: exactly one of its fields is set, or none where the kind is unknown.
type Record struct {
	Header  *Header        `json:"header,omitempty"`
	Event   *Event         `json:"event,omitempty"`
	Window  *attack.Window `json:"window,omitempty"`
	Look    *Look          `json:"look,omitempty"`
	Rating  *Rating        `json:"rating,omitempty"` // of a search for a capacity
	Trial   *TrialReport   `json:"trial,omitempty"`  // of it, after its windows
	Verdict *Conclusion    `json:"verdict,omitempty"`
	End     *End           `json:"end,omitempty"`
}

// Writer appends records, one JSON object a line. The first error stays and is told by Err and Close.
type Writer struct {
	to  io.Writer
	err error
}

// NewWriter writes to w, a line at a time: a crash loses at most the last.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

// Write appends one record.
func (w *Writer) Write(r Record) {
	if w.err != nil {
		return
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = w.to.Write(append(line, '\n'))
	}
	w.err = err
}

// Err is the first error met.
func (w *Writer) Err() error { return w.err }

// ErrTruncated says that the last line of a run file is not whole; what came before it was read.
var ErrTruncated = errors.New("the last line is cut off")

// Unreadable is why a run file could not be read to its end.
type Unreadable struct{ Err error }

func (u Unreadable) Error() string { return u.Err.Error() }
func (u Unreadable) Unwrap() error { return u.Err }

var errNoHeader = errors.New("run file: line 1: want a header, is this a run file of coalmine?")

// Read hands over the records of a run file in order. It returns nil at the end of the file, ErrTruncated where the last
// line is not whole, and a located error where something else is wrong. Lines are decoded ahead, beside the judging.
func Read(r io.Reader, each func(Record) error) error {
	return readLines(r, func(_ []byte, record Record) error { return each(record) })
}

// readLines is Read with the lines as they are in the file, which the callee may keep.
func readLines(r io.Reader, each func([]byte, Record) error) error {
	ahead, stop := make(chan decoded, 64), make(chan struct{})
	var decoding sync.WaitGroup
	defer decoding.Wait()
	defer close(stop)
	decoding.Go(func() {
		defer close(ahead)
		decode(r, func(d decoded) bool {
			select {
			case ahead <- d:
				return true
			case <-stop:
				return false
			}
		})
	})
	for d := range ahead {
		if d.err != nil {
			return d.err
		}
		if err := each(d.line, d.record); err != nil {
			return err
		}
	}
	return nil
}

// decoded is a line's record, or why there is none; then it is the last.
type decoded struct {
	line   []byte
	record Record
	err    error
}

// decode hands over line by line, until that is refused or nothing is left.
func decode(r io.Reader, hand func(decoded) bool) {
	in := bufio.NewReaderSize(r, 1<<20)
	for number := 1; ; number++ {
		line, err := in.ReadBytes('\n')
		whole := err == nil
		if err != nil && err != io.EOF {
			hand(decoded{err: fmt.Errorf("run file: line %d: %w", number, err)})
			return
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			d := decodeLine(number, line, whole)
			if !hand(d) || d.err != nil {
				return
			}
		} else if number == 1 {
			if err = errNoHeader; !whole {
				err = errors.New("run file: empty: no header")
			}
			hand(decoded{err: err})
			return
		}
		if !whole {
			return
		}
	}
}

func decodeLine(number int, line []byte, whole bool) (d decoded) {
	if number == 1 {
		if d.err = checkFormat(line); d.err != nil {
			return d
		}
	}
	if err := json.Unmarshal(line, &d.record); err != nil {
		var syntax *json.SyntaxError
		switch {
		case !whole && number == 1:
			d.err = fmt.Errorf("run file: no header: %w", ErrTruncated)
		case !whole:
			d.err = ErrTruncated
		case errors.As(err, &syntax):
			d.err = fmt.Errorf("run file: line %d: %q: %w", number, word(line, syntax.Offset), err)
		default:
			d.err = fmt.Errorf("run file: line %d: %w", number, err)
		}
		return d
	}
	d.line, d.err = line, checkRecord(number, d.record)
	return d
}

// word is what stands in a line where its first so many bytes end.
func word(line []byte, end int64) []byte {
	const between = ",:[]{} "
	at := min(max(int(end)-1, 0), len(line))
	from, to := bytes.LastIndexAny(line[:at], between)+1, len(line)
	if i := bytes.IndexAny(line[at:], between); i >= 0 {
		to = max(at+i, at+1)
	}
	return line[from:min(to, from+20)]
}

// checkFormat refuses a header of another format, whatever else is in it: a newer one may mean other things by the same
// words.
func checkFormat(line []byte) error {
	var first struct {
		Header *struct{ Format, Tool string }
	}
	json.Unmarshal(line, &first) // what is wrong with it is found when all of it is read
	h := first.Header
	if h == nil || h.Format == Format {
		return nil
	}
	var version int
	if _, err := fmt.Sscanf(h.Format, "coalmine.run/%d", &version); err == nil && version > 1 {
		return fmt.Errorf("run file: line 1: format coalmine.run/%d: made by a newer coalmine (%q); this one reads %s", version, h.Tool, Format)
	}
	return fmt.Errorf("run file: line 1: format %q; this coalmine reads %s", h.Format, Format)
}

func checkRecord(number int, r Record) error {
	if (number == 1) != (r.Header != nil) {
		if number == 1 {
			return errNoHeader
		}
		return fmt.Errorf("run file: line %d: a second header", number)
	}
	if r.Window != nil {
		if why := contradiction(r.Window); why != "" {
			return fmt.Errorf("run file: line %d: window %d contradicts itself: %s", number, r.Window.Index, why)
		}
	}
	return nil
}

// most is more than any window holds: sums over a file stay far from overflow.
const most = 1 << 40

// contradiction names what a window cannot be like; "" where all is well. The judge relies on it: a count that is not
// made up of its parts would be evidence from nowhere.
func contradiction(w *attack.Window) string {
	switch {
	case w.Length != attack.WindowLength || w.Index < 0 || w.Index > int64(math.MaxInt64/attack.WindowLength)-1 ||
		w.Start != time.Duration(w.Index)*attack.WindowLength:
		return "it is not on the grid of 100 ms"
	case w.Due > most || w.Sent > w.Due || w.Hits > w.Due || w.Pending != w.Due-w.Hits:
		return "due is not hits and pending"
	case !plausible(w.Answers) || answered(w.Answers) != w.Hits:
		return "hits are not those of its arms"
	case w.Turns.Same > most || w.Turns.Switched > most || !bounded(w.Wake, most) || !bounded(w.Blocked, most) || !bounded(w.Opened, most) ||
		w.Busy < 0 || w.Returned > most || w.Resent > most:
		return "a count is absurd"
	}
	for _, l := range w.Late {
		if l.Index < 0 || l.Index >= w.Index || !plausible(l.Answers) {
			return "a late answer is not of an earlier window"
		}
		if why := contradictoryParts(l.Answers, 0, l.Targets); why != "" {
			return why
		}
	}
	return contradictoryParts(w.Answers, w.Due, w.Targets)
}

// plausible reports that every tally is there and made up of its parts.
func plausible(a attack.Answers) bool {
	for t := range tallies(a) {
		if !sound(t) {
			return false
		}
	}
	return a.BeyondIDs <= most && uint64(len(a.IDs))+a.BeyondIDs <= unattributed(a)
}

func sound(t *attack.Tally) bool {
	if t == nil || t.Hits > most {
		return false
	}
	failed := uint64(0)
	for _, n := range t.Errors {
		if n > most {
			return false
		}
		failed += n
	}
	return failed <= t.Hits && bounded(t.Response, t.Hits-failed) && bounded(t.Service, t.Hits-failed)
}

// bounded reports that a histogram counts no more than n.
func bounded(h attack.Histogram, n uint64) bool {
	for _, b := range h {
		if b.Count > n {
			return false
		}
		n -= b.Count
	}
	return true
}
