package analyze

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Replay judges a run file again, record by record in file order, and gives what the live run gave. A cut-off last line
// is noted. recorded is the verdict that the file itself holds, nil if it was never reached.
func Replay(r io.Reader) (a Analysis, recorded *Conclusion, err error) { return Rejudge(r, nil) }

// Rejudge is Replay by the rules of another policy, look by look: the verdict that policy would have given, had it been
// the run's. What was done after the recorded verdict stays what was done. The policy is asked for once the header is
// known; nil is the run's own.
func Rejudge(r io.Reader, policy func(Header) (Policy, error)) (a Analysis, recorded *Conclusion, err error) {
	var judge *Judge
	end := End{Reason: "crashed"}
	err = Read(r, func(record Record) (err error) {
		switch {
		case record.Header != nil:
			h := *record.Header
			if policy != nil {
				if h, err = under(h, policy); err != nil {
					return err
				}
			}
			judge, err = NewJudge(h)
		case record.Event != nil:
			judge.Note(*record.Event)
		case record.Window != nil:
			judge.Add(*record.Window)
		case record.Verdict != nil:
			recorded = record.Verdict
		case record.End != nil:
			end = *record.End
		}
		return err
	})
	if errors.Is(err, ErrTruncated) && judge != nil {
		judge.notes = append(judge.notes, "the last line of the run file is cut off and was left out")
		err = nil
	}
	if err != nil {
		return Analysis{}, nil, err
	}
	judge.Finish(end)
	a = judge.Analysis()
	switch {
	case recorded == nil || recorded.Verdict == a.Conclusion.Verdict:
	case policy != nil:
		a.Notes = append(a.Notes, fmt.Sprintf("by the run's own policy the verdict was %s", recorded.Verdict))
	default:
		a.Notes = append(a.Notes, fmt.Sprintf("the file records %s; this version of coalmine judges the same windows %s", recorded.Verdict, a.Conclusion.Verdict))
	}
	return a, recorded, nil
}

// under is the header with another policy.
func under(h Header, policy func(Header) (Policy, error)) (Header, error) {
	if h.Target.Baseline == "" || h.Target.Canary == "" {
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
