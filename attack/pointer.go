package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A pointer is a parsed JSON pointer (RFC 6901). It walks a document without building it, so that it neither
// allocates nor needs what follows the place it points to: bodies are cut at 64 KiB.
type pointer []string

func parsePointer(s string) (pointer, error) {
	if s == "" {
		return nil, nil
	}
	if s[0] != '/' {
		return nil, fmt.Errorf("JSON pointer %q: want a leading slash, as in /version", s)
	}
	p := pointer(strings.Split(s[1:], "/"))
	for i, token := range p {
		for rest := token; ; {
			_, after, found := strings.Cut(rest, "~")
			if !found {
				break
			}
			if after == "" || after[0] != '0' && after[0] != '1' {
				return nil, fmt.Errorf("JSON pointer %q: want ~0 for ~ and ~1 for /", s)
			}
			rest = after
		}
		p[i] = pointerUnescape.Replace(token)
	}
	return p, nil
}

var (
	pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")
	pointerEscape   = strings.NewReplacer("~", "~0", "/", "~1")
)

// find returns the document from the value pointed to on, nil where there is none.
func (p pointer) find(doc []byte) []byte {
	doc = skipSpace(doc)
	for _, token := range p {
		if len(doc) == 0 {
			return nil
		}
		switch doc[0] {
		case '{':
			doc = member(doc, token)
		case '[':
			doc = element(doc, token)
		default:
			return nil
		}
	}
	if len(doc) == 0 {
		return nil
	}
	return doc
}

// scalar returns the string or number (or true, false) pointed to, as written; nil for anything else.
func (p pointer) scalar(doc []byte) []byte {
	doc = p.find(doc)
	if doc == nil {
		return nil
	}
	switch c := doc[0]; {
	case c == '"':
		rest := skipValue(doc)
		if rest == nil {
			return nil
		}
		return unquote(doc[:len(doc)-len(rest)])
	case c == '-' || '0' <= c && c <= '9' || c == 't' || c == 'f':
		rest := skipValue(doc)
		if rest == nil || len(rest) == 0 && len(p) > 0 { // cut off: more of it may follow
			return nil
		}
		return doc[:len(doc)-len(rest)]
	}
	return nil
}

// unquote takes the quotes off a JSON string; it allocates only where there are escapes.
func unquote(s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1]
	}
	var text string
	if json.Unmarshal(s, &text) != nil {
		return nil
	}
	return []byte(text)
}

// items is the number of elements of the array that doc begins with, -1 where it is none.
func items(doc []byte) int {
	if len(doc) == 0 || doc[0] != '[' {
		return -1
	}
	doc = skipSpace(doc[1:])
	for n := 0; ; n++ {
		if len(doc) > 0 && doc[0] == ']' {
			return n
		}
		doc = next(skipValue(doc))
		if doc == nil {
			return -1
		}
	}
}

// member returns an object from the value of the first member of that name on.
func member(doc []byte, name string) []byte {
	doc = skipSpace(doc[1:])
	for len(doc) > 0 && doc[0] == '"' {
		value := skipValue(doc)
		if value == nil {
			return nil
		}
		key := doc[:len(doc)-len(value)]
		value = skipSpace(value)
		if len(value) == 0 || value[0] != ':' {
			return nil
		}
		value = skipSpace(value[1:])
		if string(unquote(key)) == name {
			return value
		}
		doc = next(skipValue(value))
	}
	return nil
}

// element returns an array from the element of that index on.
func element(doc []byte, index string) []byte {
	n := 0
	for i := range len(index) {
		c := index[i]
		if c < '0' || c > '9' || c == '0' && i == 0 && len(index) > 1 || n > 1<<24 {
			return nil
		}
		n = 10*n + int(c-'0')
	}
	if index == "" {
		return nil
	}
	doc = skipSpace(doc[1:])
	for ; n > 0 && len(doc) > 0; n-- {
		doc = next(skipValue(doc))
	}
	if len(doc) == 0 || doc[0] == ']' {
		return nil
	}
	return doc
}

// next skips a comma; at the end of an object or array it returns that end.
func next(doc []byte) []byte {
	doc = skipSpace(doc)
	if len(doc) == 0 {
		return nil
	}
	switch doc[0] {
	case ',':
		return skipSpace(doc[1:])
	case ']', '}':
		return doc
	}
	return nil
}

func skipSpace(doc []byte) []byte {
	for len(doc) > 0 && (doc[0] == ' ' || doc[0] == '\n' || doc[0] == '\t' || doc[0] == '\r') {
		doc = doc[1:]
	}
	return doc
}

// skipValue returns what follows the value that doc begins with: nil where that is cut off or none, empty but not
// nil where nothing follows. Of what is nested only quotes and brackets count.
func skipValue(doc []byte) []byte {
	if len(doc) == 0 {
		return nil
	}
	switch doc[0] {
	case '"':
		if end := stringEnd(doc, 0); end > 0 {
			return doc[end:]
		}
		return nil
	case '{', '[':
		return skipNested(doc)
	}
	end := 0
	for end < len(doc) && !endsWord[doc[end]] {
		end++
	}
	if end == 0 {
		return nil
	}
	return doc[end:]
}

func skipNested(doc []byte) []byte {
	depth := 0
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			end := stringEnd(doc, i)
			if end < 0 {
				return nil
			}
			i = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return doc[i+1:]
			}
		}
	}
	return nil
}

// endsWord are the bytes that end a number or a word.
var endsWord = [256]bool{' ': true, '\n': true, '\t': true, '\r': true, ',': true, ':': true, ']': true, '}': true, '[': true, '{': true, '"': true}

// stringEnd is the index after the string that begins at i, -1 where it has no end.
func stringEnd(doc []byte, i int) int {
	for i++; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}
