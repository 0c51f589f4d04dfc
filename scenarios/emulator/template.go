package emulator

import (
	"encoding/json"
	"strconv"
	"strings"
)

// template is text with variables of the request in it: an access log's format, or a gateway response's body.
type template struct {
	parts  []part
	absent string // what a variable without a value becomes
}

// part is literal text followed by a variable; the last one has none.
type part struct {
	literal string
	value   variable
}

// variable appends what a reference stands for; nothing, if it has no value for this request.
type variable func(b []byte, x *exchange) []byte

// newTemplate parses text; references that find does not know (nil) stay as they are.
func newTemplate(text, absent string, find func(name string) variable) template {
	t := template{absent: absent}
	var literal strings.Builder
	for text != "" {
		before, after, found := strings.Cut(text, "$")
		literal.WriteString(before)
		if !found {
			break
		}
		name, rest := reference(after)
		value := find(name)
		if name == "" || value == nil {
			literal.WriteString("$" + after[:len(after)-len(rest)])
		} else {
			t.parts = append(t.parts, part{literal.String(), value})
			literal.Reset()
		}
		text = rest
	}
	t.parts = append(t.parts, part{literal: literal.String()})
	return t
}

func (t template) append(b []byte, x *exchange) []byte {
	for _, p := range t.parts {
		b = append(b, p.literal...)
		if p.value == nil {
			continue
		}
		before := len(b)
		if b = p.value(b, x); len(b) == before {
			b = append(b, t.absent...)
		}
	}
	return b
}

// reference reads what follows a dollar sign: context.error.message, {context.status}, stageVariables.get('lambdaAlias'), the
// last of which means stageVariables.lambdaAlias. The name is "" when there is none.
func reference(s string) (name, rest string) {
	inner, braced := strings.CutPrefix(s, "{")
	n := nameLength(inner)
	name, rest = inner[:n], inner[n:]
	if root, found := strings.CutSuffix(name, ".get"); found && strings.HasPrefix(rest, "('") {
		if key, after, closed := strings.Cut(rest[2:], "')"); closed {
			name, rest = root+"."+key, after
		}
	}
	if braced {
		after, closed := strings.CutPrefix(rest, "}")
		if !closed {
			return "", s
		}
		rest = after
	}
	if !strings.Contains(name, ".") {
		return "", s
	}
	return name, rest
}

// nameLength is that of a dotted name. A dot that ends a sentence is none of it; hyphens are in names of variables and headers only.
func nameLength(s string) int {
	hyphens := strings.HasPrefix(s, "stageVariables.") || strings.HasPrefix(s, "method.")
	n := 0
	for n < len(s) {
		switch c := s[n]; {
		case c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z', c == '-' && hyphens:
			n++
		case c == '.' && n > 0 && n+1 < len(s) && isName(s[n+1:n+2]) && s[n+1] != '-':
			n++
		default:
			return n
		}
	}
	return n
}

// contextVariable knows $context.name; nil: there is no such variable, or the emulator never has a value for it.
func contextVariable(name string) variable { return contextVariables[name] }

func text(of func(x *exchange) string) variable {
	return func(b []byte, x *exchange) []byte { return append(b, of(x)...) }
}

func number(of func(x *exchange) (int64, bool)) variable {
	return func(b []byte, x *exchange) []byte {
		if n, known := of(x); known {
			return strconv.AppendInt(b, n, 10)
		}
		return b
	}
}

var (
	status = number(func(x *exchange) (int64, bool) { return int64(x.status), x.status != 0 })

	functionStatus = number(func(x *exchange) (int64, bool) { return int64(x.lambda.function), x.lambda.function != 0 })

	integrationStatus = number(func(x *exchange) (int64, bool) { return int64(x.lambda.status), x.lambda.status != 0 })

	integrationLatency = number(func(x *exchange) (int64, bool) { return x.lambda.latency.Milliseconds(), x.lambda.called })
)

// contextVariables are those of a REST API's access log ([DOC] api-gateway-variables-for-access-logging) that can have a value here.
var contextVariables = map[string]variable{
	"accountId":         text(func(*exchange) string { return account }),
	"apiId":             text(func(x *exchange) string { return x.to.key.api }),
	"deploymentId":      text(func(x *exchange) string { return x.arm.deploymentID }),
	"domainName":        text(func(x *exchange) string { return x.request.Host }),
	"extendedRequestId": text(func(x *exchange) string { return x.extendedID }),
	"httpMethod":        text(func(x *exchange) string { return x.request.Method }),
	"path":              text(func(x *exchange) string { return x.to.rawPath() }),
	"protocol":          text(func(*exchange) string { return "HTTP/1.1" }),
	"requestId":         text(func(x *exchange) string { return x.requestID }),
	"requestTime":       text(func(x *exchange) string { return x.begun.UTC().Format(requestTime) }),
	"stage":             text(func(x *exchange) string { return x.arm.stage }),
	"xrayTraceId":       text(func(x *exchange) string { return strings.TrimPrefix(x.traceID, "Root=") }),

	"isCanaryRequest":  func(b []byte, x *exchange) []byte { return strconv.AppendBool(b, x.canary) },
	"requestTimeEpoch": number(func(x *exchange) (int64, bool) { return x.begun.UnixMilli(), true }),
	"responseLatency":  number(func(x *exchange) (int64, bool) { return x.latency.Milliseconds(), x.done }),
	"responseLength":   number(func(x *exchange) (int64, bool) { return int64(x.length), x.done }),
	"status":           status,

	"resourceId": text(func(x *exchange) string {
		if x.route == nil {
			return ""
		}
		return x.route.resourceID
	}),
	"resourcePath": text(func(x *exchange) string {
		if x.route == nil {
			return ""
		}
		return x.route.path
	}),

	"identity.sourceIp":  text(func(x *exchange) string { return sourceIP(x.request) }),
	"identity.userAgent": func(b []byte, x *exchange) []byte { return appendQuotable(b, x.request.UserAgent()) },

	"error.message":       text(func(x *exchange) string { return x.failure.message }),
	"error.responseType":  text(func(x *exchange) string { return x.failure.response }),
	"error.messageString": text(func(x *exchange) string { return quoted(x.failure.message) }),

	"integration.requestId": text(func(x *exchange) string {
		if !x.lambda.called {
			return ""
		}
		return x.lambdaID()
	}),
	"integration.latency":           integrationLatency,
	"integrationLatency":            integrationLatency,
	"integration.status":            functionStatus, // [DOC] the function's own; the two others are Lambda's
	"integration.integrationStatus": integrationStatus,
	"integrationStatus":             integrationStatus,
	"integrationErrorMessage":       text(func(x *exchange) string { return x.lambda.trouble }),
	"integration.error":             text(func(x *exchange) string { return x.lambda.trouble }),
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	b, _ := json.Marshal(s)
	return string(b)
}

// appendQuotable escapes what would end a JSON string: formats put such values between quotes.
func appendQuotable(b []byte, s string) []byte {
	if s == "" {
		return b
	}
	in := quoted(s)
	return append(b, in[1:len(in)-1]...)
}
