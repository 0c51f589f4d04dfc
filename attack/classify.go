package attack

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"
)

// Answer is what a classifier sees of an answer; valid during the call only.
type Answer struct {
	Status int
	Header func(name string) []byte // first value of a header, nil where there is none
	Body   []byte                   // its first 64 KiB
}

// A Classifier says which version answered: a version, or why there is none (Conflict or Unrecognised; what follows
// from the status is the engine's to say). It must not allocate, and may be called by many goroutines at once; the
// engine keeps its own copy of each version.
type Classifier func(Answer) (version []byte, cause Cause)

// A rule finds a value in one place of an answer, nil where there is none.
type rule func(Answer) []byte

// ParseClassifier understands, each rule tried on every answer:
//
//	header:NAME            the whole value of a response header
//	json:POINTER           a string or number at a JSON pointer (RFC 6901), as written
//	body:REGEX             the first group of an RE2 expression, or all it matches
//	header-number:NAME     the last number in a header's value
//	json-number:POINTER    the last number in the text at a JSON pointer
//
// The first rule that finds a value decides; if another finds a different one, the answer is a Conflict. A body rule
// with a group allocates once a call (regexp has no other way), the others do not.
func ParseClassifier(rules []string) (Classifier, error) {
	if len(rules) == 0 {
		return nil, errors.New("no rule: want at least one like header:X-Lambda-Version, json:/version or body:REGEX")
	}
	parsed := make([]rule, len(rules))
	for i, text := range rules {
		r, err := parseRule(text)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", text, err)
		}
		parsed[i] = r
	}
	return func(a Answer) ([]byte, Cause) { return classify(parsed, a) }, nil
}

func classify(rules []rule, a Answer) ([]byte, Cause) {
	var version []byte
	for _, find := range rules {
		switch v := find(a); {
		case len(v) == 0:
		case version == nil:
			version = v
		case !bytes.Equal(v, version):
			return nil, Conflict
		}
	}
	if version == nil {
		return nil, Unrecognised
	}
	return version, ""
}

func parseRule(text string) (rule, error) {
	kind, arg, found := strings.Cut(text, ":")
	if !found {
		return nil, errors.New("no kind: want header:NAME, json:POINTER or body:REGEX")
	}
	kind, last := strings.CutSuffix(kind, "-number")
	r, err := parsePlace(kind, arg, last)
	if err != nil || !last {
		return r, err
	}
	return func(a Answer) []byte { return lastNumber(r(a)) }, nil
}

func parsePlace(kind, arg string, last bool) (rule, error) {
	switch {
	case kind == "header":
		if !validToken(arg) {
			return nil, fmt.Errorf("the header name %q: want letters, digits and hyphens, as in header:X-Lambda-Version", arg)
		}
		name := textproto.CanonicalMIMEHeaderKey(arg)
		return func(a Answer) []byte { return a.Header(name) }, nil
	case kind == "json":
		p, err := parsePointer(arg)
		if err != nil {
			return nil, err
		}
		return func(a Answer) []byte { return p.scalar(a.Body) }, nil
	case kind == "body" && !last:
		return parseBodyRule(arg)
	}
	return nil, fmt.Errorf("the kind is unknown: want header, json or body, as in header:X-Lambda-Version")
}

func parseBodyRule(expr string) (rule, error) {
	re, err := regexp.Compile(expr)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the expression is not RE2: %w", err)
	case expr == "":
		return nil, errors.New("an empty expression: want one like body:version (\\d+)")
	case re.NumSubexp() == 0:
		return func(a Answer) []byte { return re.Find(a.Body) }, nil
	}
	return func(a Answer) []byte {
		at := re.FindSubmatchIndex(a.Body)
		if at == nil || at[2] < 0 {
			return nil
		}
		return a.Body[at[2]:at[3]]
	}, nil
}

// lastNumber is the last run of digits in a text.
func lastNumber(text []byte) []byte {
	end := len(text)
	for end > 0 && !isDigit(text[end-1]) {
		end--
	}
	start := end
	for start > 0 && isDigit(text[start-1]) {
		start--
	}
	return text[start:end]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// firstCause is why a hit without a version has none: what its status says, where it failed, before what the
// classifier says.
func firstCause(class Class, found Cause) Cause {
	switch class {
	case Timeout:
		return NoTimeout
	case Transport, Truncated:
		return NoTransport
	case Throttled:
		return No429
	case GatewayTime:
		return No504
	case ServerError:
		return No5xx
	case ClientError, Unauthorized, Forbidden:
		return No4xx
	case Redirect:
		return No3xx
	}
	return found
}
