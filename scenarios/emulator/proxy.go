package emulator

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// proxied turns what a function returned into an answer by the rules of AWS_PROXY: statusCode may be absent or a numeric
// string, body and headers may be absent or null, header values may be scalars; anything else is a 502, an unknown key included.
func proxied(payload json.RawMessage) reply {
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || fields == nil {
		return functionFailed
	}
	out := reply{status: http.StatusOK, header: http.Header{}}
	var text *string
	var coded bool
	for key, value := range fields {
		valid := false
		switch key {
		case "statusCode":
			out.status, valid = statusCode(value)
		case "body":
			valid = json.Unmarshal(value, &text) == nil
		case "isBase64Encoded":
			valid = json.Unmarshal(value, &coded) == nil
		case "headers":
			valid = addHeaders(out.header, value)
		case "multiValueHeaders":
			valid = addMultiHeaders(out.header, value)
		}
		if !valid {
			return functionFailed
		}
	}
	if text == nil {
		return out
	}
	out.body = []byte(*text)
	if coded {
		var err error
		if out.body, err = base64.StdEncoding.DecodeString(*text); err != nil {
			return functionFailed
		}
	}
	return out
}

func statusCode(value json.RawMessage) (int, bool) {
	text := strings.Trim(string(value), `"`)
	if text == "null" {
		return http.StatusOK, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 200 && n <= 599
}

func addHeaders(to http.Header, value json.RawMessage) bool {
	var headers map[string]json.RawMessage
	if json.Unmarshal(value, &headers) != nil {
		return false
	}
	for name, value := range headers {
		text, valid := scalar(value)
		if !valid {
			return false
		}
		if !reserved(name) {
			to.Set(name, text)
		}
	}
	return true
}

func addMultiHeaders(to http.Header, value json.RawMessage) bool {
	var headers map[string][]json.RawMessage
	if json.Unmarshal(value, &headers) != nil {
		return false
	}
	for name, values := range headers {
		for _, value := range values {
			text, valid := scalar(value)
			if !valid {
				return false
			}
			if !reserved(name) && to.Get(name) != text {
				to.Add(name, text)
			}
		}
	}
	return true
}

// scalar is a header's value: a string as it is, a number or a boolean as written.
func scalar(value json.RawMessage) (string, bool) {
	switch value[0] {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return text, err == nil
	case '{', '[':
		return "", false
	case 'n':
		return "", true
	}
	return string(value), true
}

// reserved headers belong to the connection, not to the function.
func reserved(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade":
		return true
	}
	return false
}
