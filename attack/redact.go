package attack

import (
	"regexp"
	"strings"
	"unicode"
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
