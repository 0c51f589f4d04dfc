package attack

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Headers of a target in a file that say something to Coalmine, and are never sent.
const (
	WeightHeader = "X-Coalmine-Weight" // share of the hits, in parts: 1 unless given
	NameHeader   = "X-Coalmine-Target" // name of the tally: method and path unless given
)

const (
	MaxTallies = 32      // of different names: each has a tally in every window
	maxTargets = 100_000 // of a plan, each counted as often as it weighs
)

// Target is one of several that share a load.
type Target struct {
	vegeta.Target        // a URL that is a path takes the place of Plan.Path at the end of the URL of Plan.Target
	Name          string // of its tally, which others may share; empty: method and path
	Weight        int    // its share of the hits, in parts; 0: 1
}

// ReadTargets reads targets in one of vegeta's formats, http or json, by vegeta's own readers. Its errors repeat no
// header and no query: these may hold a credential.
func ReadTargets(r io.Reader, format string) ([]Target, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	text = append(text, '\n') // without it the JSON reader leaves out the last line
	var read vegeta.Targeter
	switch format {
	case vegeta.HTTPTargetFormat:
		if err := shortLines(text); err != nil {
			return nil, err
		}
		read = vegeta.NewHTTPTargeter(bytes.NewReader(text), nil, nil)
	case vegeta.JSONTargetFormat:
		read = vegeta.NewJSONTargeter(bytes.NewReader(text), nil, nil)
	default:
		return nil, fmt.Errorf("format %q: want http or json, vegeta's target formats", format)
	}
	var targets []Target
	for {
		var t vegeta.Target
		err := read(&t)
		if errors.Is(err, vegeta.ErrNoTargets) {
			break
		}
		if err == nil {
			var target Target
			if target, err = weighed(t); err == nil {
				targets = append(targets, target)
				continue
			}
		}
		return nil, fmt.Errorf("target %d: %s", len(targets)+1, discreet(err))
	}
	if len(targets) == 0 {
		return nil, errors.New(`holds no target: want one like "GET /products"`)
	}
	return targets, nil
}

// shortLines refuses what makes vegeta's reader stop as if at the end of the file.
func shortLines(text []byte) error {
	number := 0
	for line := range bytes.Lines(text) {
		if number++; len(line) >= bufio.MaxScanTokenSize {
			return fmt.Errorf("line %d: longer than 64 KiB: want the body in a file of its own, @FILE", number)
		}
	}
	return nil
}

// discreet is an error of vegeta's readers without the line that it is about.
func discreet(err error) string {
	text := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // within an object
		text = "parse error"
	}
	for _, kind := range []string{"bad header", "bad URL", "parse error"} {
		if strings.HasPrefix(text, kind) {
			return kind + map[string]string{"parse error": `: want a JSON object on a line of its own, with "method" and "url"`}[kind]
		}
	}
	return text
}

// weighed takes the headers that are for us out of a target.
func weighed(t vegeta.Target) (Target, error) {
	out := Target{Target: t, Weight: 1}
	out.Header = make(http.Header)
	for name, values := range t.Header {
		if len(values) == 0 { // JSON may say so
			continue
		}
		switch value := values[len(values)-1]; http.CanonicalHeaderKey(name) {
		case WeightHeader:
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > maxTargets {
				return out, fmt.Errorf("%s: %q: want a whole number from 1 to %d", WeightHeader, value, maxTargets)
			}
			out.Weight = n
		case NameHeader:
			out.Name = value
		default:
			out.Header[name] = values
		}
	}
	return out, nil
}

// Several reports whether a plan has a tally for each of its targets.
func (p Plan) Several() bool { return len(p.Targets) > 0 }

// targets are those of the plan, complete: with absolute URLs, the headers of all, names and weights.
func (p Plan) targets() []Target {
	if len(p.Targets) == 0 {
		return []Target{{Target: p.Target, Weight: 1}}
	}
	out := make([]Target, len(p.Targets))
	for i, t := range p.Targets {
		t.Weight = max(t.Weight, 1)
		if strings.HasPrefix(t.URL, "/") {
			t.URL = strings.TrimRight(strings.TrimSuffix(p.Target.URL, p.Path), "/") + t.URL
		}
		if t.Method == "" {
			t.Method = http.MethodGet
		}
		if t.Name == "" {
			t.Name = t.Method + " " + pathOf(p.Targets[i].URL)
		}
		header := http.Header{}
		for name, values := range p.Target.Header {
			if !hasHeader(t.Header, http.CanonicalHeaderKey(name)) {
				header[name] = values
			}
		}
		maps.Copy(header, t.Header)
		t.Header = header
		out[i] = t
	}
	return out
}

// pathOf is what names a target: no query, which may hold a key, and no host, which all have in common.
func pathOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return orSlash(u.EscapedPath())
}

func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// validateTargets names the first target that cannot be sent to.
func (p Plan) validateTargets() error {
	if len(p.Targets) == 0 {
		if err := validateTarget(p.Target); err != nil {
			return fmt.Errorf("target: %w", err)
		}
		return nil
	}
	names, weight := map[string]bool{}, 0
	where := ""
	if u, err := url.Parse(p.Target.URL); err == nil && u.Host != "" {
		where = u.Scheme + "://" + hostPort(u)
	}
	for i, t := range p.targets() {
		if err := validateTarget(t.Target); err != nil {
			return fmt.Errorf("target %d: %w", i+1, err)
		}
		u, _ := url.Parse(t.URL) // valid
		if at := u.Scheme + "://" + hostPort(u); where == "" {
			where = at
		} else if at != where {
			return fmt.Errorf("target %d: on %s, and the load goes to %s: want all on one host, behind one canary", i+1, at, where)
		}
		if !nameable([]byte(t.Name)) {
			return fmt.Errorf("target %d: its name: want at most %d printable bytes", i+1, maxVersionBytes)
		}
		names[t.Name] = true
		weight += t.Weight
	}
	if len(names) > MaxTallies {
		return fmt.Errorf("targets: %d different names (method and path), at most %d have tallies: want an %s header that names those alike",
			len(names), MaxTallies, NameHeader)
	}
	if weight > maxTargets && weight/p.commonWeight() > maxTargets {
		return fmt.Errorf("targets: weights add up to %d: want at most %d", weight, maxTargets)
	}
	return nil
}

func (p Plan) commonWeight() int {
	divisor := 0
	for _, t := range p.Targets {
		for a := max(t.Weight, 1); a != 0; {
			divisor, a = a, divisor%a
		}
	}
	return max(divisor, 1)
}

// rotation is whose turn it is, target by target: over each round every target has exactly its share of the hits, spread
// evenly. Hit i is of target rotation[i % len(rotation)], so that how many are due of each is known of any stretch.
type rotation []int32

// rotate spreads each target over the round: its k-th turn of w is at (k + 1/2)/w.
func (p Plan) rotate() rotation {
	targets := p.targets()
	if len(targets) == 1 {
		return rotation{0}
	}
	type turn struct {
		at     float64
		target int32
	}
	var turns []turn
	divisor := p.commonWeight()
	for i, t := range targets {
		w := t.Weight / divisor
		for k := range w {
			turns = append(turns, turn{(float64(k) + 0.5) / float64(w), int32(i)})
		}
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return cmp.Compare(a.at, b.at) })
	order := make(rotation, len(turns))
	for i, t := range turns {
		order[i] = t.target
	}
	return order
}

// of is the target of a hit.
func (r rotation) of(hit uint64) int { return int(r[hit%uint64(len(r))]) }

// TargetTally is one of the tallies of a load on several targets.
type TargetTally struct {
	Name  string
	Share float64 // of the hits, 0 to 1
}

// Tallies are those that every window of the plan has, in the order of the targets; none of a plan on one target.
func (p Plan) Tallies() (tallies []TargetTally) {
	s := newParts(p)
	for i, name := range s.names {
		tallies = append(tallies, TargetTally{name, float64(s.perRound[i]) / float64(len(s.order))})
	}
	return tallies
}
