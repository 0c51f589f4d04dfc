package attack

import (
	"bytes"
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// exampleBytes is how much of a body an example shows.
const exampleBytes = 120

var (
	secretMembers = regexp.MustCompile(`(?i)("[^"]*(?:secret|token|passw|credential|authorization|cookie|session|api-?_?key)[^"]*"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^,}\s]+)`)
	secretHeaders = regexp.MustCompile(`(?i)cookie|authorization|token|secret|key|credential`)
	mailAddresses = regexp.MustCompile(`[\w.+-]+@[\w.-]+`)
	longTokens    = regexp.MustCompile(`[\w+/=.~-]{20,}`)
	cutToken      = regexp.MustCompile(`[\w+/=.~@-]*$`)
	digitRuns     = regexp.MustCompile(`\d(?:[ -]?\d){4,}`)
)

// own are the values that the request itself carries: a target that echoes what it was asked must not spread them.
type own []string

func ownValues(t vegeta.Target) (values own) {
	keep := func(value string) {
		if len(value) >= 4 { // shorter ones would tear words apart, and are no secrets
			values = append(values, value, url.QueryEscape(value))
		}
	}
	for name, headers := range t.Header {
		if name == "User-Agent" || name == "Accept" || name == runHeader || name == idHeader {
			continue
		}
		for _, value := range headers {
			keep(value)
			if _, credential, ok := strings.Cut(value, " "); ok { // "Bearer xyz"
				keep(credential)
			}
		}
	}
	if u, err := url.Parse(t.URL); err == nil {
		for _, queries := range u.Query() {
			for _, value := range queries {
				keep(value)
			}
		}
	}
	slices.SortFunc(values, longestFirst)
	return values
}

// longestFirst has whole values before their parts.
func longestFirst(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }

// hide takes them out of a text.
func (o own) hide(text []byte) []byte {
	for _, value := range o {
		text = bytes.ReplaceAll(text, []byte(value), []byte("[redacted]"))
	}
	return text
}

// redact shows the beginning of a text with everything taken out that may be a credential or somebody's data: the
// values of members with telling names, mail addresses, tokens of 20 characters, 5 digits in a row or in groups. It
// looks beyond the end of what it shows, and drops a token cut there, so that a cut does not make a long token short.
func redact(body []byte, limit int) string {
	const beyond = 1024
	text := strings.ToValidUTF8(string(body[:min(len(body), limit+beyond)]), "?")
	if len(body) > limit+beyond {
		text = cutToken.ReplaceAllString(text, "")
	}
	text = secretMembers.ReplaceAllString(text, "$1[redacted]")
	text = mailAddresses.ReplaceAllString(text, "[mail]")
	text = longTokens.ReplaceAllString(text, "[redacted]")
	text = digitRuns.ReplaceAllString(text, "[digits]")
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
