package attack

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A place is somewhere in an answer where a version may be named.
type place struct {
	rule  string // as ParseClassifier understands it
	find  rule
	where string // "the header X-Release"
	name  string
	hint  bool // it is called like something that names a release
}

var (
	versionNames = regexp.MustCompile(`(?i)version|release|revision|build|deploy|commit|variant|colou?r`)

	// What differs from request to request, from host to host or with the hour looks one-to-one with the versions
	// for a handful of requests, and a number in it may well be 1 or 2.
	volatileNames = regexp.MustCompile(`(?i)^(age|etag|via|content-length|content-md5|connection|keep-alive|alt-svc|expires|last-modified|server-timing)$` +
		`|^(x-)?(amz|amzn|cf|cache|ratelimit)-|cookie|request|trace|correlation|instance|host|time|date|stamp|latency|duration|token|cursor|nonce|uuid|(^|[^a-z])id$|Id$|_ms$`)
)

// What a search looks at is bounded, whatever answers look like.
const (
	searchedText  = 4 << 10
	searchedDepth = 6
	searchedItems = 3 // of an array
	contextBytes  = 24
	searchedPlain = 200 // places in texts
	samplesOfText = 4
)

// places are where versions may be named, by kind, likelier ones first.
type places struct {
	headers, headerNumbers []place
	values, valueNumbers   []place
	numbers, words         []place // in text
}

// ofNames are the places where a version's own name may be.
func (p places) ofNames() []place {
	return slices.Concat(p.headers, p.values, p.headerNumbers, p.valueNumbers, p.numbers, p.words)
}

// ofValues are the places where a value may stand for a version.
func (p places) ofValues() []place { return slices.Concat(p.headers, p.values, p.words) }

func placesIn(answers []Probed) (p places) {
	headers, pointers := make(map[string]bool), make(map[string]bool)
	var texts [][]byte
	plain := false
	for _, a := range answers {
		for name := range a.Header {
			headers[name] = true
		}
		var doc any
		if json.Unmarshal(a.Body, &doc) == nil {
			collectPointers(pointers, "", doc, 0)
		} else {
			plain = true
		}
		text := a.Body[:min(len(a.Body), searchedText)]
		if len(texts) < samplesOfText && !slices.ContainsFunc(texts, func(t []byte) bool { return bytes.Equal(t, text) }) {
			texts = append(texts, text)
		}
	}
	p.headers = newPlaces("header:", "the header ", headers)
	p.headerNumbers = newPlaces("header-number:", "the last number in the header ", headers)
	p.values = newPlaces("json:", "the JSON value at ", pointers)
	p.valueNumbers = newPlaces("json-number:", "the last number in the JSON value at ", pointers)
	p.numbers = textPlaces(texts, digits, `(\d+)`, "the number")
	p.words = textPlaces(texts, words, `([\w-]+(?:\.[\w-]+)*)`, "the word")
	// The last number of a JSON document is that of whatever member happens to come last.
	if end, err := newPlace(`body:(\d+)\D*$`, "the last number in the body", ""); plain && err == nil {
		p.numbers = append(p.numbers, end)
	}
	return p
}

func newPlaces(kind, where string, names map[string]bool) (all []place) {
	for _, name := range slices.Sorted(maps.Keys(names)) {
		shown := name
		if shown == "" {
			shown = "the root"
		}
		at, err := newPlace(kind+name, where+shown, name)
		if err == nil && (at.hint || !volatileNames.MatchString(at.lastName())) {
			all = append(all, at)
		}
	}
	slices.SortStableFunc(all, func(a, b place) int {
		switch {
		case a.hint && !b.hint:
			return -1
		case b.hint && !a.hint:
			return 1
		}
		return cmp.Compare(len(a.name), len(b.name))
	})
	return all
}

func newPlace(text, where, name string) (place, error) {
	find, err := parseRule(text)
	at := place{rule: text, find: find, where: where, name: name}
	at.hint = versionNames.MatchString(at.lastName())
	return at, err
}

// lastName is the header's name, or the member's.
func (at place) lastName() string { return at.name[strings.LastIndexByte(at.name, '/')+1:] }

// collectPointers notes where a document has strings, numbers, true and false.
func collectPointers(into map[string]bool, at string, value any, depth int) {
	if depth > searchedDepth {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			collectPointers(into, at+"/"+pointerEscape.Replace(name), member, depth+1)
		}
	case []any:
		for i, element := range v[:min(len(v), searchedItems)] {
			collectPointers(into, at+"/"+strconv.Itoa(i), element, depth+1)
		}
	case string, float64, bool:
		into[at] = true
	}
}

var (
	digits = regexp.MustCompile(`\d+`)
	words  = regexp.MustCompile(`[\w-]+(?:\.[\w-]+)*`)
)

// textPlaces are the tokens of texts, each found again by what stands before it on its line. Digits are left out of
// that: they are what varies.
func textPlaces(texts [][]byte, tokens *regexp.Regexp, group, what string) (all []place) {
	seen := make(map[string]bool)
	for _, text := range texts {
		for _, token := range tokens.FindAllIndex(text, -1) {
			before := text[max(0, token[0]-contextBytes):token[0]]
			cut := bytes.LastIndexFunc(before, func(r rune) bool { return unicode.IsDigit(r) || !unicode.IsPrint(r) || r == utf8.RuneError })
			atStart := token[0] == 0 || text[token[0]-1] == '\n'
			context := string(before[cut+1:])
			expr := regexp.QuoteMeta(context) + group
			where := fmt.Sprintf("%s after %q in the body", what, context)
			switch {
			case atStart:
				expr, where = `(?m)^`+group, what+" at the start of a line in the body"
			case strings.TrimSpace(context) == "":
				continue // would be any token
			}
			if seen[expr] || len(all) == searchedPlain || volatileText(context) {
				continue
			}
			seen[expr] = true
			if at, err := newPlace("body:"+expr, where, ""); err == nil {
				all = append(all, at)
			}
		}
	}
	return all
}

// volatileText says whether what stands before a token announces something that differs by chance.
func volatileText(context string) bool {
	return !versionNames.MatchString(context) && slices.ContainsFunc(words.FindAllString(context, -1), volatileNames.MatchString)
}

// learned says in a sentence what the values of a place are.
func (at place) learned(values map[string]string) Learned {
	var pairs []string
	for _, version := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, fmt.Sprintf("%q of version %s", values[version], version))
	}
	where := at.where + " tells the versions apart: " + strings.Join(pairs, ", ")
	if namesItself(values) {
		where = at.where + " names the version"
	}
	return Learned{Rule: at.rule, Values: maps.Clone(values), Where: where}
}
