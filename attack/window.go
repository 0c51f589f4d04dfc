package attack

import (
	"cmp"
	"time"
)

// WindowLength is the grid on which evidence travels.
const WindowLength = 100 * time.Millisecond

// MaxVersions caps the arms of a run: a classifier pointed at a request id must not make millions.
const MaxVersions = 32

// Class is what went wrong with a hit; "" is a success.
type Class string

const (
	Transport    Class = "transport" // no answer: refused, reset, closed, not HTTP
	Timeout      Class = "timeout"   // no whole answer within Plan.Timeout
	Truncated    Class = "truncated" // the body ended early
	Unauthorized Class = "401"
	Forbidden    Class = "403"
	Throttled    Class = "429"
	GatewayTime  Class = "504"
	ServerError  Class = "5xx" // but 504
	ClientError  Class = "4xx" // but 401, 403, 429
	Redirect     Class = "3xx"
	Wrong        Class = "wrong" // a 1xx or 2xx answer that is not as expected
)

// Cause is why a hit names no version.
type Cause string

const (
	NoTransport     Cause = "transport"
	NoTimeout       Cause = "timeout"
	No429           Cause = "429"
	No504           Cause = "504"
	No5xx           Cause = "5xx"
	No4xx           Cause = "4xx"
	No3xx           Cause = "3xx"
	TooManyVersions Cause = "too-many-versions"
	Conflict        Cause = "conflict"
	Unrecognised    Cause = "unrecognised"
)

// Tally counts hits that belong together. Hits and Errors and the histograms add; of First the least and of Last
// the greatest count.
type Tally struct {
	Hits     uint64           `json:"hits"`
	Errors   map[Class]uint64 `json:"errors,omitempty"`
	First    time.Duration    `json:"first_ns"`          // first answer, since the run began
	Last     time.Duration    `json:"last_ns"`           // last answer, since the run began
	Response Histogram        `json:"response,omitzero"` // successes only, from due to answered
	Service  Histogram        `json:"service,omitzero"`  // successes only, from sent to answered
}

// Failed is the number of hits of any error class.
func (t *Tally) Failed() (n uint64) {
	for _, k := range t.Errors {
		n += k
	}
	return n
}

// Merge adds o, which may be nil as in a file it may be null, to t.
func (t *Tally) Merge(o *Tally) {
	if o == nil || o.Hits == 0 {
		return
	}
	if t.Hits == 0 || o.First < t.First {
		t.First = o.First
	}
	t.Last = max(t.Last, o.Last)
	t.Hits += o.Hits
	for class, n := range o.Errors {
		if t.Errors == nil {
			t.Errors = make(map[Class]uint64)
		}
		t.Errors[class] += n
	}
	t.Response.Merge(o.Response)
	t.Service.Merge(o.Service)
}

// Answers are tallies by who answered.
type Answers struct {
	Arms         map[string]*Tally `json:"arms,omitempty"`         // by version, as the answers spell it
	Unattributed map[Cause]*Tally  `json:"unattributed,omitempty"` // hits that name no version
	IDs          []Anonymous       `json:"ids,omitempty"`          // of those hits, with Plan.RequestIDs, in order of answering
	BeyondIDs    uint64            `json:"beyond_ids,omitempty"`   // of those hits, without an id because MaxIDs was reached
}

// Merge adds o to a, the ids of both, however many.
func (a *Answers) Merge(o Answers) {
	mergeTallies(&a.Arms, o.Arms)
	mergeTallies(&a.Unattributed, o.Unattributed)
	a.IDs = append(a.IDs, o.IDs...)
	a.BeyondIDs += o.BeyondIDs
}

func mergeTallies[K cmp.Ordered](into *map[K]*Tally, from map[K]*Tally) {
	for key, t := range from {
		tallyOf(into, key).Merge(t)
	}
}

func tallyOf[K cmp.Ordered](m *map[K]*Tally, key K) *Tally {
	if *m == nil {
		*m = make(map[K]*Tally)
	}
	t := (*m)[key]
	if t == nil {
		t = new(Tally)
		(*m)[key] = t
	}
	return t
}

// Part is one target's part of a window, of a load on several: its hits are counted here and in the window.
type Part struct {
	Due uint64 `json:"due,omitempty"` // of the window's; 0 of late answers, which were due earlier
	Answers
}

// Merge adds o to p.
func (p *Part) Merge(o Part) {
	p.Due += o.Due
	p.Answers.Merge(o.Answers)
}

// Late are answers to hits that an earlier window counted as pending, kept by the window they were due in.
type Late struct {
	Index int64 `json:"index"`
	Answers
	Targets map[string]*Part `json:"targets,omitempty"` // as the window's
}

// Turns counts, on single connections, consecutive answers of baseline and canary: a sticky or cached route shows
// here and nowhere else.
type Turns struct {
	Same     uint64 `json:"same"`
	Switched uint64 `json:"switched"`
}

// Window is the evidence of 100 ms of due times. Windows are sealed in due order, when all their hits have returned,
// or Plan.Patience after their end; what is unanswered then is pending, and arrives as late in a window sealed
// later. Everything in it adds.
//
// Due = Hits + Pending, and Hits are those of Arms and Unattributed. What belongs to no open window goes into the one
// sealed next: late answers, turns, hits sent again, examples, opened connections, and the lateness of hits sent after their
// window was sealed. A hit that this machine could not send, for want of files or ports, stays pending and is not counted
// as sent.
type Window struct {
	Phase   string        `json:"phase"`
	Index   int64         `json:"index"`     // on the grid that begins with the run
	Start   time.Duration `json:"start_ns"`  // since the run began
	Length  time.Duration `json:"length_ns"` // of due times
	Due     uint64        `json:"due"`
	Sent    uint64        `json:"sent"` // of those due, by the seal
	Hits    uint64        `json:"hits"` // of those due, answered by the seal
	Pending uint64        `json:"pending"`
	Answers
	Targets  map[string]*Part `json:"targets,omitempty"` // by name, of a load on several; without ids
	Late     []Late           `json:"late,omitempty"`
	Turns    Turns            `json:"turns"`
	Resent   uint64           `json:"resent,omitempty"`   // of the answers since the window before, to hits sent twice: a kept connection was found closed
	Wake     Histogram        `json:"wake,omitzero"`      // sent after due though a connection was free: the generator's doing
	Blocked  Histogram        `json:"blocked,omitzero"`   // sent after due because every connection was busy: the target's doing
	Opened   Histogram        `json:"opened,omitzero"`    // how long connections took to open, by dialing and handshake
	Busy     time.Duration    `json:"busy_ns,omitempty"`  // of the processors together, what this process used or waited for while these hits were due: up to Length
	Returned uint64           `json:"returned,omitempty"` // answers that came in that time, whenever they were due
	Examples []string         `json:"examples,omitempty"` // at most two a run, redacted: answers of class wrong
}

// End is the end of its due times since the run began.
func (w *Window) End() time.Duration { return w.Start + w.Length }
