package analyze

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// Replay judges a run file again, record by record in file order, and gives what the live run gave. A cut-off last line
// is noted. recorded is the verdict that the file itself holds, nil if it was never reached. Of a broken file, which is an
// Unreadable error, the analysis has what could be read, is void, and says why.
func Replay(r io.Reader) (a Analysis, recorded *Conclusion, err error) { return Rejudge(r, nil) }

// Rejudge is Replay by the rules of another policy, look by look: the verdict that policy would have given, had it been
// the run's. What was done after the recorded verdict stays what was done. The policy is asked for once the header is
// known; nil is the run's own.
func Rejudge(r io.Reader, policy func(Header) (Policy, error)) (a Analysis, recorded *Conclusion, err error) {
	return new(Join).Rejudge(r, policy)
}

// Rejudge is the function Rejudge with what the log says of hits without a version.
func (j *Join) Rejudge(r io.Reader, policy func(Header) (Policy, error)) (a Analysis, recorded *Conclusion, err error) {
	again := rejudging{join: j, policy: policy, out: copier{to: j.Out}, end: End{Reason: "crashed"}}
	if recorded, err = again.run(r); err != nil {
		if again.refused || !errors.As(err, new(Unreadable)) {
			return Analysis{}, nil, err
		}
		return again.unread(err.Error()), nil, err
	}
	a = again.judge.Analysis()
	switch {
	case recorded == nil || recorded.Verdict == a.Conclusion.Verdict:
	case j.Moved() > 0:
		a.Notes = append(a.Notes, fmt.Sprintf("by what the answers themselves said the run's verdict was %s", recorded.Verdict))
	case policy != nil:
		a.Notes = append(a.Notes, fmt.Sprintf("by the run's own policy the verdict was %s", recorded.Verdict))
	default:
		a.Notes = append(a.Notes, fmt.Sprintf("the file records %s; this version of coalmine judges the same windows %s", recorded.Verdict, a.Conclusion.Verdict))
	}
	return a, recorded, nil
}

// rejudging is a run file being judged again.
type rejudging struct {
	join     *Join
	policy   func(Header) (Policy, error)
	out      copier
	judge    *Judge
	recorded *Conclusion
	end      End
	until    time.Duration // of the windows so far
	noted    bool
	refused  bool // by the other policy, and not by what is in the file
}

func (g *rejudging) run(r io.Reader) (recorded *Conclusion, err error) {
	err = readLines(r, g.line)
	if errors.Is(err, ErrTruncated) && g.judge != nil {
		g.judge.notes = append(g.judge.notes, "the last line of the run file is cut off and was left out")
		err = nil
	}
	if err != nil {
		if g.judge != nil {
			err = fmt.Errorf("%w: what follows is not read", err)
		}
		return nil, Unreadable{err}
	}
	g.note()
	g.judge.Finish(g.end)
	return g.recorded, g.out.err
}

// unread is the analysis of what could be read: whatever it shows, it is no evidence for a verdict.
func (g *rejudging) unread(why string) Analysis {
	a := Analysis{Checks: []Check{}, Phases: []Phase{}, Events: []Event{}, Action: "none"}
	if g.judge != nil {
		a = g.judge.Analysis()
	}
	a.End = End{Reason: "unreadable", Error: why}
	a.Conclusion = Conclusion{At: a.Conclusion.At, Requests: a.Conclusion.Requests, Void: []string{why}, Sentence: "INCONCLUSIVE: " + why + "."}
	return a
}

// line judges a record, and copies it: to the byte where neither policy nor log changed it. Looks at evidence that did
// change are left out of the copy.
func (g *rejudging) line(line []byte, record Record) (err error) {
	same := g.policy == nil && g.join.Moved() == 0
	switch {
	case record.Header != nil:
		h := *record.Header
		if g.policy != nil {
			h, err = under(h, g.policy)
		}
		var judge *Judge
		if err == nil {
			judge, err = NewJudge(h)
		}
		if g.refused = err != nil && g.policy != nil; err != nil {
			return err
		}
		record.Header, g.judge = &h, judge
		g.judge.KeepTimeline()
	case record.Event != nil:
		g.judge.Note(*record.Event)
		same = true
	case record.Window != nil:
		same = !g.join.attribute(&record, g.judge.header.Target)
		g.until = record.Window.End()
		g.judge.Add(*record.Window)
	case record.Look != nil && !same:
		return nil
	case record.Verdict != nil:
		g.recorded = record.Verdict
		now := g.judge.Conclude()
		record.Verdict = &now
	case record.End != nil:
		g.end = *record.End
		g.note()
		same = true
	default:
		same = true
	}
	if err == nil {
		g.out.copy(line, record, same)
	}
	return err
}

// note says in the run that it was attributed, once.
func (g *rejudging) note() {
	if text := g.join.note(); text != "" && !g.noted {
		e := Event{At: g.until, Name: Note, Detail: map[string]string{"text": text}}
		g.judge.Note(e)
		g.out.copy(nil, Record{Event: &e}, false)
		g.noted = true
	}
}

// copier writes a run file anew, line by line.
type copier struct {
	to  io.Writer // nil: nobody wants it
	err error
}

func (c *copier) copy(line []byte, r Record, same bool) {
	if c.to == nil || c.err != nil {
		return
	}
	if !same {
		if line, c.err = json.Marshal(r); c.err != nil {
			return
		}
	}
	_, c.err = c.to.Write(append(line[:len(line):len(line)], '\n'))
}

// under is the header with another policy.
func under(h Header, policy func(Header) (Policy, error)) (Header, error) {
	if h.Target.Canary == "" || h.Target.Baseline == "" && !h.Target.Alone() {
		return h, fmt.Errorf("recorded by coalmine %s: it names no baseline and no canary, so no policy can judge it", h.Command)
	}
	p, err := policy(h)
	if err != nil {
		return h, err
	}
	p = p.Complete(h.Target.Share())
	h.Policy, h.Budget = &p, p.Budget(h.Plan.Rate)
	return h, nil
}

// sixDigits keeps what is the same on every architecture: the last bits of log and exp are not.
func sixDigits(x float64) float64 {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return math.Copysign(math.MaxFloat64, x)
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	if err != nil {
		return x
	}
	return short
}
