package attack

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Learned is how the versions were found to differ in their answers.
type Learned struct {
	Rule   string            `json:"rule"`   // the equivalent --classify
	Values map[string]string `json:"values"` // by version: the value in its answers
	Where  string            `json:"where"`  // a sentence: what tells the versions apart
}

// Classifier maps the values back to versions. A value that is none of them is a version of that name, unless this
// is the name of another: then it is "value NAME".
func (l Learned) Classifier() Classifier {
	find, err := parseRule(l.Rule)
	if err != nil {
		return func(Answer) ([]byte, Cause) { return nil, Unrecognised }
	}
	versions := make(map[string][]byte, len(l.Values))
	for version, value := range l.Values {
		versions[value] = []byte(version)
	}
	return func(a Answer) ([]byte, Cause) {
		value := find(a)
		if len(value) == 0 {
			return nil, Unrecognised
		}
		if version := versions[string(value)]; version != nil {
			return version, ""
		}
		if _, taken := l.Values[string(value)]; taken {
			return append([]byte("value "), value...), ""
		}
		return value, ""
	}
}

// Learn looks for a place in the answers whose values are one-to-one with the versions, each of which was asked where
// only it answers. A value that is the version's own name is preferred to a last number that is, and this to any
// other value that differs: prices, dates and instances do so by chance. Then headers are preferred to JSON, and JSON
// to text. A version that fails every request shows at most its own name: what else its errors say, everybody's may.
func Learn(byVersion map[string][]Probed) (Learned, error) {
	versions := slices.Sorted(maps.Keys(byVersion))
	if len(versions) < 2 {
		return Learned{}, fmt.Errorf("tell versions apart: there are answers of %d version: want two at least", len(versions))
	}
	telling, good := make(map[string][]Probed, len(versions)), make(map[string][]Probed, len(versions))
	var all, failed []Probed
	for _, v := range versions {
		if telling[v] = tellingAnswers(byVersion[v]); len(telling[v]) == 0 {
			return Learned{}, fmt.Errorf("tell versions apart: version %s did not answer%s", v, errorsOf(byVersion[v]))
		}
		all = append(all, telling[v]...)
		if telling[v][0].Class == "" {
			good[v] = telling[v]
		} else {
			failed = append(failed, byVersion[v]...)
		}
	}
	places := placesIn(all)
	for _, at := range places.ofNames() {
		values := valuesOf(at, telling)
		if values != nil && namesItself(values) {
			return at.learned(values), nil
		}
	}
	if len(good) < len(versions) {
		return learnOfGood(versions, good, failed, all[0])
	}
	for _, at := range places.ofValues() {
		values := valuesOf(at, telling)
		if values != nil && (at.hint || seenTwice(telling)) {
			return at.learned(values), nil
		}
	}
	return Learned{}, indistinct(fmt.Sprintf("nothing in their answers differs between versions %s", strings.Join(versions, " and ")), all[0])
}

// learnOfGood looks for where the good answers name their versions: those that fail will name theirs there, too. One
// version's answers alone tell this only of a place that is called like something that names a release.
func learnOfGood(versions []string, good map[string][]Probed, failed []Probed, shown Probed) (Learned, error) {
	var all []Probed
	for _, v := range slices.Sorted(maps.Keys(good)) {
		all = append(all, good[v]...)
	}
	for _, at := range placesIn(all).ofNames() {
		values := valuesOf(at, good)
		if values == nil || !namesItself(values) || !at.hint && len(good) < 2 {
			continue
		}
		for _, v := range versions {
			values[v] = v
		}
		learned := at.learned(values)
		learned.Where += errorsOf(failed)
		return learned, nil
	}
	return Learned{}, indistinct(fmt.Sprintf("nothing in the good answers names their versions, of versions %s%s", strings.Join(versions, " and "), errorsOf(failed)), shown)
}

// LearnMixed looks for what tells two versions apart in answers of both, not knowing which answer is whose: a place
// that holds exactly these two names, alone or as the last number in a text.
func LearnMixed(answers []Probed, baseline, canary string) (Learned, error) {
	if baseline == canary || baseline == "" || canary == "" {
		return Learned{}, fmt.Errorf("tell versions %q and %q apart: want two names", baseline, canary)
	}
	telling := tellingAnswers(answers)
	if len(telling) == 0 {
		return Learned{}, fmt.Errorf("tell versions %s and %s apart: nothing answered%s", baseline, canary, errorsOf(answers))
	}
	both := map[string]string{baseline: baseline, canary: canary}
	// An arm whose every answer is an error is only among the failed ones.
	for _, among := range [][]Probed{telling, answered(answers)} {
		for _, at := range placesIn(among).ofNames() {
			if len(namesIn(at, among, both)) == 2 {
				return at.learned(both), nil
			}
		}
	}
	for _, at := range placesIn(telling).ofNames() {
		for name := range namesIn(at, telling, both) {
			other := baseline
			if other == name {
				other = canary
			}
			if at.hint && name == baseline && telling[0].Class == "" && len(telling) < len(answers) {
				// Perhaps a canary that fails all it gets: its errors are judged though nothing says whose they are.
				learned := at.learned(both)
				learned.Where += fmt.Sprintf("; none of %d answers is of version %s%s", len(answers), other, errorsOf(answers))
				return learned, nil
			}
			return Learned{}, indistinct(fmt.Sprintf("all %d good answers name version %s (%s), none %s%s", len(telling), name, at.rule, other, errorsOf(answers)), telling[0])
		}
	}
	return Learned{}, indistinct(fmt.Sprintf("no header, JSON value or text in %d answers names version %s or %s%s", len(telling), baseline, canary, errorsOf(answers)), telling[0])
}

// errorsOf says how many of the answers were errors, of which kinds; "" where none was.
func errorsOf(answers []Probed) string {
	kinds, n := map[string]int{}, 0
	for _, a := range answers {
		switch {
		case a.Class == "":
			continue
		case a.Status >= 300:
			kinds[fmt.Sprintf("HTTP %d", a.Status)]++
		default:
			kinds[string(a.Class)]++
		}
		n++
	}
	if n == 0 {
		return ""
	}
	var said []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		said = append(said, fmt.Sprintf("%d x %s", kinds[kind], kind))
	}
	return fmt.Sprintf("; %d of %d answers were errors: %s", n, len(answers), strings.Join(said, ", "))
}

// LearnAlone looks for what names the version in answers that should all be one's: a place called like something that
// names a release, for a number that stays the same is easily found elsewhere. Where several hold a version's name, one
// that holds the absent version's is believed; absent may be empty. Where none does, a place that holds names of the same
// kind is: who answers instead can be told then.
func LearnAlone(answers []Probed, expect, absent string) (Learned, error) {
	telling := tellingAnswers(answers)
	if len(telling) == 0 {
		return Learned{}, fmt.Errorf("tell whether version %s answers: nothing answered%s", expect, errorsOf(answers))
	}
	var found, instead *place
	for _, at := range placesIn(telling).ofNames() {
		if !at.hint {
			continue
		}
		expected, others := false, false
		whole, alike := true, !otherVersions.MatchString(at.name) && !strings.Contains(at.rule, "-number:") // the last of 1.4 names nothing
		for _, a := range telling {
			value := string(at.find(a.answer()))
			whole = whole && nameable([]byte(value)) && value != ""
			expected = expected || value == expect
			others = others || absent != "" && value == absent
			alike = alike && published(value) == published(expect)
		}
		if whole && others {
			found = &at
			break
		}
		if whole && expected && found == nil {
			found = &at
		}
		if whole && alike && instead == nil {
			instead = &at
		}
	}
	values := map[string]string{expect: expect}
	if absent != "" {
		values[absent] = absent
	}
	switch {
	case found == nil && instead != nil && published(expect):
		learned := instead.learned(values)
		learned.Where = fmt.Sprintf("%s, but version %s in none of %d answers", learned.Where, expect, len(telling))
		return learned, nil
	case found == nil:
		return Learned{}, indistinct(fmt.Sprintf("no header, JSON value or text that is called like a version names version %s in %d answers%s: want --classify, if there is another place",
			expect, len(telling), errorsOf(answers)), telling[0])
	}
	return found.learned(values), nil
}

// otherVersions are what else has a version that stays the same.
var otherVersions = regexp.MustCompile(`(?i)api|schema|protocol|spec|format|http|tls|server|sdk|runtime`)

// published reports whether the name is a number, as those of a function's published versions are.
func published(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }

// tellingAnswers are the successes, or whatever has answered if there is none.
func tellingAnswers(all []Probed) []Probed {
	var good []Probed
	for _, a := range all {
		if a.Class == "" && a.Status != 0 {
			good = append(good, a)
		}
	}
	if len(good) > 0 {
		return good
	}
	return answered(all)
}

func answered(all []Probed) (some []Probed) {
	for _, a := range all {
		if a.Status != 0 {
			some = append(some, a)
		}
	}
	return some
}

// valuesOf returns the one value of each version at a place, nil where one has none or several, or two share one.
func valuesOf(at place, byVersion map[string][]Probed) map[string]string {
	values := make(map[string]string, len(byVersion))
	taken := make(map[string]bool, len(byVersion))
	for version, answers := range byVersion {
		value := at.find(answers[0].answer())
		if len(value) == 0 || !nameable(value) || taken[string(value)] {
			return nil
		}
		values[version] = string(value)
		taken[string(value)] = true
	}
	for version, answers := range byVersion {
		for _, a := range answers[1:] {
			if string(at.find(a.answer())) != values[version] {
				return nil
			}
		}
	}
	return values
}

// namesIn says which of two names are seen at a place; nil where an answer has neither.
func namesIn(at place, answers []Probed, both map[string]string) map[string]string {
	seen := make(map[string]string, len(both))
	for _, a := range answers {
		name, known := both[string(at.find(a.answer()))]
		if !known {
			return nil
		}
		seen[name] = name
	}
	return seen
}

func namesItself(values map[string]string) bool {
	for version, value := range values {
		if version != value {
			return false
		}
	}
	return true
}

// seenTwice: a value seen once may be the request's own.
func seenTwice(byVersion map[string][]Probed) bool {
	for _, answers := range byVersion {
		if len(answers) < 2 {
			return false
		}
	}
	return true
}

// indistinct says why versions cannot be told apart, shows an answer, and how a handler could name its version.
func indistinct(why string, shown Probed) error {
	return errors.New("tell versions apart: " + why + "\n\nOne answer:\n\n" + indent(shown.Redacted()) +
		"\nA handler that names its version (here in Python; elsewhere it is in AWS_LAMBDA_FUNCTION_VERSION):\n\n" + indent(
		"response = handle(event, context)  # as before\n"+
			`response.setdefault("headers", {})["X-Lambda-Version"] = context.function_version`+"\n"+
			"return response\n"))
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

// Redacted shows an answer to a person, without what may be a secret.
func (a Probed) Redacted() string {
	var text strings.Builder
	fmt.Fprintf(&text, "HTTP %d\n", a.Status)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		value := redact(a.own.hide([]byte(a.Header.Get(name))), exampleBytes)
		if secretHeaders.MatchString(name) {
			value = "[redacted]"
		}
		fmt.Fprintf(&text, "%s: %s\n", name, value)
	}
	fmt.Fprintf(&text, "%s\n", redact(a.own.hide(a.Body), 4*exampleBytes))
	return text.String()
}

// answer is what a classifier sees of a probed answer.
func (a Probed) answer() Answer {
	return Answer{Status: a.Status, Body: a.Body, Header: func(name string) []byte { return []byte(a.Header.Get(name)) }}
}
