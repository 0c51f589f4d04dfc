package analyze

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"coalmine/analyze/capacity"
)

// Rated is a search for the highest rate, as it stands or ended.
type Rated struct {
	Header   Header          `json:"run"`
	Rating   Rating          `json:"rating"`
	Trials   []TrialReport   `json:"trials"`
	Result   capacity.Result `json:"result"`
	Rates    []TrialArm      `json:"rates,omitempty"` // of the stage and each arm at the lower bound, as they answered
	Arm      *ArmRates       `json:"arm,omitempty"`   // where one arm was asked for
	Asked    Outcome         `json:"asked"`           // whether the rate that was asked for is carried; Undecided also where none was
	Sentence string          `json:"sentence"`
	Notes    []string        `json:"notes,omitempty"`
	End      End             `json:"end"`
}

// Searching is a search that goes on.
type Searching struct {
	Rated
	Under *TrialReport // the trial under way; nil: none
	Load  []Phase      // all traffic: a phase for each trial, and the warm-up
}

// ArmRates are the bounds in rates of one arm, as the stage is configured: those of the result are what the stage gets.
type ArmRates struct {
	Version string  `json:"version"`
	Share   float64 `json:"share"`                // of the stage's traffic, 0 to 1
	Lower   float64 `json:"lower_per_s,omitzero"` // 0: not known
	Upper   float64 `json:"upper_per_s,omitzero"`
}

// Share is how much of the stage's traffic the arm gets whose objectives they are, 0 to 1.
func (r Rating) Share() float64 {
	switch r.Arm {
	case ArmCanary:
		return sixDigits(r.Target.Share())
	case ArmBaseline:
		return sixDigits(1 - r.Target.Share())
	}
	return 1
}

func (r *Rated) ownRates() *ArmRates {
	if r.Rating.Version == "" {
		return nil
	}
	own := &ArmRates{Version: r.Rating.Version, Share: r.Rating.Share()}
	if b := r.Result.Lower; b != nil {
		own.Lower = sixDigits(b.Rate * own.Share)
	}
	if b := r.Result.Upper; b != nil {
		own.Upper = sixDigits(b.Rate * own.Share)
	}
	return own
}

// Rate puts together what is known of a search: all follows from its trials, and from what happened beside them.
func Rate(h Header, r Rating, trials []TrialReport, events []Event, end End) (Rated, error) {
	search, err := capacity.New(r.Search)
	if err != nil {
		return Rated{}, fmt.Errorf("run file: rating: %w", err)
	}
	for i, t := range trials {
		if !(t.Rate > 0 && t.Rate <= capacity.MostPerSecond) {
			return Rated{}, fmt.Errorf("run file: trial %d: want a rate of more than 0 per second, got %v", i+1, t.Rate)
		}
		search.Add(t.Done)
	}
	if why := end.stopped(); why != "" {
		search.Stop(why)
	}
	rated := Rated{Header: h, Rating: r, Trials: trials, Result: search.Result(), End: end}
	for _, e := range events {
		rated.Notes = append(rated.Notes, e.said()...)
	}
	resent := uint64(0)
	for _, t := range trials {
		resent += t.Resent
	}
	rated.Notes = append(rated.Notes, sentAgain(resent)...)
	if b := rated.Result.Lower; b != nil {
		for _, t := range trials {
			if t.Rate == b.Rate && t.Outcome == capacity.Pass {
				rated.Rates = t.Arms
			}
		}
	}
	if rated.Result.Kind == capacity.AtLeast && r.Ceiling > 0 && r.Ceiling <= r.Search.Highest {
		rated.Result.Kind = capacity.Generator
	}
	rated.Arm = rated.ownRates()
	rated.Asked = rated.asked()
	rated.Sentence = rated.says() + rated.against()
	if hasty := rated.Hasty(); hasty != "" {
		rated.Sentence += sentence(" %s.", capital(hasty))
	}
	return rated, nil
}

// stopped is why a search was stopped before its end.
func (e End) stopped() string {
	switch e.Reason {
	case "", "verdict":
		return ""
	case "interrupted":
		return "interrupted"
	}
	return e.Error
}

// asked compares the bounds with the rate that was asked for. A proven bound is enough, however the search ended, but for a
// target that changes, or was changed: nobody knows by which of its trials.
func (r *Rated) asked() Outcome {
	lower, upper := r.Result.Lower, r.Result.Upper
	switch want := r.Rating.AtLeast; {
	case want == 0, r.Result.Kind == capacity.Drifting, r.End.Reason == EndChanged:
	case lower != nil && lower.Proven && lower.Rate >= want:
		return Pass
	case upper != nil && upper.Proven && upper.Rate <= want && r.Result.Kind != capacity.Generator:
		return Fail
	}
	return Undecided
}

// against is how that compares with the rate that was asked for, if one was.
func (r *Rated) against() string {
	switch want := PerSecondOf(r.Rating.AtLeast); {
	case r.Rating.AtLeast == 0:
		return ""
	case r.Asked == Pass:
		return sentence(" At least %s were asked for.", want)
	case r.Asked == Fail:
		return sentence(" That is below %s, which were asked for.", want)
	default:
		return sentence(" Whether that is %s, which were asked for, is open.", want)
	}
}

// Void reports that the search says nothing of one target: its stage changed, its file is broken, or the generator could not
// carry what was asked for.
func (r Rated) Void() bool {
	switch {
	case r.End.Reason == EndChanged, r.End.Reason == "unreadable":
		return true
	case r.Result.Kind == capacity.Generator && r.Asked == Undecided:
		return r.Rating.AtLeast > 0 || r.Result.Lower == nil || !r.Result.Lower.Proven
	}
	return false
}

// Rejected reports that the target carries less than was asked for, or not even the lowest rate.
func (r Rated) Rejected() bool {
	kind := r.Result.Kind
	return r.Asked == Fail || kind == capacity.TooLow || kind == capacity.Quota && r.lowest()
}

// Open reports that the search came to no answer that it can stand by.
func (r Rated) Open() bool {
	switch r.Result.Kind {
	case capacity.Unfinished, capacity.Drifting, capacity.Unsettled:
		return true
	}
	if lower := r.Result.Lower; lower != nil {
		return !lower.Proven
	}
	return !r.lowest()
}

// lowest reports that nothing was left to try below the rate that failed.
func (r Rated) lowest() bool {
	return r.Result.Upper != nil && r.Result.Upper.Rate <= r.Rating.Search.Lowest
}

// Hasty says that trials were too short for any of them to prove a bound, "" if they were not.
func (r Rated) Hasty() string {
	n := 0
	if !r.Open() {
		return ""
	}
	for _, t := range r.Trials {
		switch {
		case t.Purpose != capacity.Confirm, t.Outcome == capacity.Invalid, t.Longest < r.Rating.Search.Longest: // the budget cut it
		case t.Outcome != capacity.Undecided:
			return ""
		default:
			n++
		}
	}
	const help = ": longer ones (--longest-trial) or looser objectives would help"
	switch n {
	case 0:
		return ""
	case 1:
		return "the one confirming trial was not decided" + help
	}
	return sentence("none of %d confirming trials was decided", n) + help
}

// PerSecondOf writes a rate: "812/s".
func PerSecondOf(rate float64) string { return trimZeros(rate) + "/s" }

func (r *Rated) says() string {
	lower, upper := r.Result.Lower, r.Result.Upper
	whose, of := "", ""
	if r.Rating.Version != "" {
		whose, of = sentence(" of version %s", r.Rating.Version), r.Arm.of()
	}
	span := "nothing is known"
	switch {
	case lower != nil && upper != nil:
		span = sentence("%s %s at %s and %s at %s%s", whosObjectives(whose), held(lower), PerSecondOf(lower.Rate), failed(upper), PerSecondOf(upper.Rate), of)
	case lower != nil:
		span = sentence("%s %s at %s%s", whosObjectives(whose), held(lower), PerSecondOf(lower.Rate), of)
	case upper != nil:
		span = sentence("%s %s at %s%s", whosObjectives(whose), failed(upper), PerSecondOf(upper.Rate), of)
	}
	switch r.Result.Kind {
	case capacity.Found:
		text := sentence("The capacity%s is between %s and %s%s.", whose, PerSecondOf(lower.Rate), PerSecondOf(upper.Rate), of)
		if r.Result.Width > r.Result.Goal*1.01+0.0005 {
			text += sentence(" That is %s wide, wanted %s: what lies between could not be decided in trials of %s at most. More time decides more.", Share(r.Result.Width), Share(r.Result.Goal), Short(r.Rating.Search.Longest))
		}
		return text
	case capacity.AtLeast:
		return sentence("The capacity%s is at least %s%s: no objective failed up to the highest rate that was allowed.", whose, PerSecondOf(lower.Rate), of)
	case capacity.TooLow:
		return sentence("The objectives%s fail at the lowest rate, %s%s, already: %s.", whose, PerSecondOf(upper.Rate), of, r.lastAt(upper.Rate, capacity.Fail))
	case capacity.Quota:
		if r.lowest() {
			return sentence("The stage throttles at the lowest rate, %s, already: that is a quota, not capacity.", PerSecondOf(upper.Rate))
		}
		quota := sentence("Quota-limited: the stage throttles at %s", PerSecondOf(upper.Rate))
		if r.Result.Quota > 0 {
			quota += sentence(" and lets %s through", PerSecondOf(math.Round(10*r.Result.Quota)/10))
		}
		if lower == nil {
			return quota + ", and nothing is known below it. That is a quota, not capacity."
		}
		return quota + sentence(", and the objectives%s %s at %s%s. That is a quota, not capacity.", whose, holds(lower), PerSecondOf(lower.Rate), r.Arm.at(lower))
	case capacity.Generator:
		if r.lowest() {
			return sentence("The load generator cannot carry the lowest rate: %s.", r.lastAt(upper.Rate, capacity.Invalid))
		}
		if lower == nil {
			return sentence("The load generator cannot carry %s, and is the bottleneck; nothing is known below it.", PerSecondOf(upper.Rate)) + r.connections()
		}
		if !lower.Proven {
			return sentence("The load generator cannot carry %s, and is the bottleneck; %s %s at %s%s.", PerSecondOf(upper.Rate), whosObjectives(whose), held(lower), PerSecondOf(lower.Rate), r.Arm.at(lower)) + r.connections()
		}
		return sentence("The capacity%s is at least %s%s; the load generator cannot carry more, and is the bottleneck.", whose, PerSecondOf(lower.Rate), r.Arm.at(lower)) + r.connections()
	case capacity.Drifting:
		how := "worse: rates that held failed later"
		if r.Result.Drift == capacity.Better {
			how = "better: rates that failed held later"
		}
		return sentence("The target got %s. There is no one capacity; last, %s.", how, span)
	case capacity.Unsettled:
		if r.Hasty() != "" {
			return sentence("Undecided: %s.", span)
		}
		unproven := "holds"
		if lower != nil && lower.Proven {
			unproven = "fails"
		}
		return sentence("Undecided: trials of that length prove no rate that %s, %s. Longer trials, or looser objectives, would.", unproven, span)
	}
	why := ""
	if r.Result.Stopped != "" {
		why = ", " + r.Result.Stopped
	}
	return sentence("Unfinished%s: %s.", why, span)
}

// at is of for one bound; "" where the whole stage was asked.
func (a *ArmRates) at(b *capacity.Bound) string {
	if a == nil {
		return ""
	}
	return sentence(" of the stage, of which it gets %s", PerSecondOf(sixDigits(b.Rate*a.Share)))
}

// of says what the arm gets of the stage's rates that are named before it.
func (a *ArmRates) of() string {
	switch {
	case a.Lower > 0 && a.Upper > 0:
		return sentence(" of the stage, of which it gets %s and %s", PerSecondOf(a.Lower), PerSecondOf(a.Upper))
	case a.Lower > 0 || a.Upper > 0:
		return sentence(" of the stage, of which it gets %s", PerSecondOf(max(a.Lower, a.Upper)))
	}
	return ""
}

func whosObjectives(whose string) string { return "the objectives" + whose }

func held(b *capacity.Bound) string {
	if b.Proven {
		return "held"
	}
	return "seemed to hold"
}

func holds(b *capacity.Bound) string {
	if b.Proven {
		return "hold"
	}
	return held(b)
}

func failed(b *capacity.Bound) string {
	switch {
	case b.Lame:
		return "could not be sent"
	case b.Proven:
		return "failed"
	}
	return "seemed to fail"
}

// lastAt is what the last such trial at a rate said.
func (r *Rated) lastAt(rate float64, o capacity.Outcome) (why string) {
	for _, t := range r.Trials {
		if t.Rate == rate && t.Outcome == o {
			why = t.Sentence
		}
	}
	return why
}

// connections says that it is those of the load generator that were too few, "" if they were not.
func (r *Rated) connections() string {
	if !slices.ContainsFunc(r.Trials, func(t TrialReport) bool { return t.Starved }) {
		return ""
	}
	return " Its connections were too few: with more (--connections) it would show what the target does."
}

// ErrNotRated says that a run file is of another command.
var ErrNotRated = errors.New("the run file holds no search for a capacity")

// ReadRated reads a search from its run file, also one that was cut off. Of one that is broken it has what could be read,
// beside the Unreadable error.
func ReadRated(file io.Reader) (Rated, error) {
	var h Header
	var rating *Rating
	var trials []TrialReport
	var events []Event
	end := End{Reason: "crashed", Error: "the run file has no end"}
	err := Read(file, func(r Record) error {
		switch {
		case r.Header != nil:
			if h = *r.Header; h.Command != "capacity" {
				return ErrNotRated
			}
		case r.Rating != nil:
			rating = r.Rating
		case r.Event != nil:
			events = append(events, *r.Event)
		case r.Trial != nil:
			trials = append(trials, *r.Trial)
		case r.End != nil:
			end = *r.End
		}
		return nil
	})
	var broken error
	if err != nil && !errors.Is(err, ErrTruncated) {
		broken = Unreadable{err}
		end = End{Reason: "unreadable", Error: err.Error()}
	}
	switch {
	case rating == nil && broken == nil && h.Command == "capacity":
		return Rated{}, errors.New("run file: the search ended before anything was tried")
	case errors.Is(err, ErrNotRated), rating == nil:
		return Rated{}, ErrNotRated
	}
	rated, err := Rate(h, *rating, trials, events, end)
	return rated, errors.Join(err, broken)
}
