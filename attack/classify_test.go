package attack

import (
	"encoding/json"
	"fmt"
	"net/textproto"
	"strings"
	"testing"
)

// answerOf is an answer with one header and a body.
func answerOf(status int, header, body string) Answer {
	name, value, _ := strings.Cut(header, ": ")
	return Answer{Status: status, Body: []byte(body), Header: func(asked string) []byte {
		if asked != textproto.CanonicalMIMEHeaderKey(name) || value == "" {
			return nil
		}
		return []byte(value)
	}}
}

func TestClassify(t *testing.T) {
	check := func(rules, header, body, version string, cause Cause) {
		t.Helper()
		c, err := ParseClassifier(strings.Split(rules, " & "))
		if err != nil {
			t.Errorf("%s: %v", rules, err)
			return
		}
		v, why := c(answerOf(200, header, body))
		if string(v) != version || why != cause {
			t.Errorf("%s on %q, %q: %q, %q: want %q, %q", rules, header, body, v, why, version, cause)
		}
	}
	check("header:X-V", "X-V: 2", "", "2", "")
	check("header:x-v", "X-V: 2", "", "2", "")
	check("header:X-V", "X-V: blue green", "", "blue green", "")
	check("header:X-V", "X-W: 2", "", "", Unrecognised)
	check("header-number:X-V", "X-V: products v12 of 3 and 07", "", "07", "")
	check("header-number:X-V", "X-V: products", "", "", Unrecognised)

	check("json:/version", "", `{"version":"2"}`, "2", "")
	check("json:/version", "", `{"version": 2 }`, "2", "")
	check("json:/version", "", `{"version":2.50}`, "2.50", "")
	check("json:/version", "", `{"version":-1e3}`, "-1e3", "")
	check("json:/version", "", `{"version":true}`, "true", "")
	check("json:/version", "", `{"version":"a\"b\u00e9"}`, `a"bé`, "")
	check("json:/version", "", `{"version":null}`, "", Unrecognised)
	check("json:/version", "", `{"version":""}`, "", Unrecognised)
	check("json:/version", "", `{"version":{"a":1}}`, "", Unrecognised)
	check("json:/version", "", `{"Version":"2"}`, "", Unrecognised)
	check("json:/version", "", `{"x":{"version":"1"},"y":["version","}"],"version":"2"}`, "2", "")
	check("json:/a/b/1/c", "", ` { "a" : { "b" : [ 0 , { "c" : "2" } ] } } `, "2", "")
	check("json:/a~1b/m~0n", "", `{"a/b":{"m~n":"2"}}`, "2", "")
	check("json:/a\u00e9", "", `{"a\u00e9":"2"}`, "2", "")
	check("json:/", "", `{"":"2"}`, "2", "")
	check("json:", "", `"2"`, "2", "")
	check("json:", "", `2`, "2", "")
	check("json:/1", "", `["1","2"]`, "2", "")
	check("json:/1", "", `{"1":"2"}`, "2", "")
	check("json:/2", "", `["1","2"]`, "", Unrecognised)
	check("json:/01", "", `["1","2"]`, "", Unrecognised)
	check("json:/-", "", `["1","2"]`, "", Unrecognised)
	check("json:/version", "", `{"version":"2","rest":[{"cut`, "2", "")
	check("json:/version", "", `{"version":"2`, "", Unrecognised)
	check("json:/version", "", `{"version":2`, "", Unrecognised)
	check("json:/version", "", `<html>`, "", Unrecognised)
	check("json:/version", "", ``, "", Unrecognised)
	check("json-number:/message", "", `{"message":"all products v2"}`, "2", "")

	check(`body:version (\d+)`, "", "this is version 12.", "12", "")
	check(`body:v\d+`, "", "all products v2", "v2", "")
	check(`body:(?s)^.*v(\d+)`, "", "v1\nv2", "2", "")
	check(`body:(a)|b`, "", "b", "", Unrecognised)
	check(`body:x`, "", "", "", Unrecognised)

	check("header:X-V & json:/version", "X-V: 2", `{"version":"2"}`, "2", "")
	check("header:X-V & json:/version", "X-W: 2", `{"version":"1"}`, "1", "")
	check("header:X-V & json:/version", "X-V: 2", `{}`, "2", "")
	check("header:X-V & json:/version", "X-V: 2", `{"version":"1"}`, "", Conflict)
	check("header:X-V & json:/version & body:v3", "X-V: 2", `{"version":"2","a":"v3"}`, "", Conflict)
}

func TestRulesThatCannotBe(t *testing.T) {
	check := func(rule, want string) {
		t.Helper()
		if _, err := ParseClassifier([]string{rule}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := ParseClassifier(nil); err == nil {
		t.Error("no rule is none")
	}
	check("X-Version", `rule "X-Version": no kind: want header:NAME, json:POINTER or body:REGEX`)
	check("cookie:a", `rule "cookie:a": the kind is unknown: want header, json or body, as in header:X-Lambda-Version`)
	check("body-number:a", `rule "body-number:a": the kind is unknown: want header, json or body, as in header:X-Lambda-Version`)
	check("header:", `rule "header:": the header name "": want letters, digits and hyphens, as in header:X-Lambda-Version`)
	check("header:a b", `rule "header:a b": the header name "a b": want letters, digits and hyphens, as in header:X-Lambda-Version`)
	check("json:version", `rule "json:version": JSON pointer "version": want a leading slash, as in /version`)
	check("json:/a~2", `rule "json:/a~2": JSON pointer "/a~2": want ~0 for ~ and ~1 for /`)
	check("body:", `rule "body:": an empty expression: want one like body:version (\d+)`)
	check("body:(", "rule \"body:(\": the expression is not RE2: error parsing regexp: missing closing ): `(`")
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	value := []byte("2")
	a := Answer{Status: 200, Header: func(string) []byte { return value }, Body: []byte(`{"products":[{"id":1}],"version":"2"}`)}
	check := func(rules ...string) {
		t.Helper()
		c, err := ParseClassifier(rules)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { c(a) }); n != 0 {
			t.Errorf("%v: %v allocations", rules, n)
		}
	}
	check("header:X-V")
	check("json:/version")
	check("header:X-V", "json:/version")
	check("json-number:/version")
}

// The pointer walks any bytes without panic, and agrees with encoding/json about documents that are valid.
func FuzzPointer(f *testing.F) {
	for _, doc := range []string{`{"a":{"b":[1,"x",{"c":true}]}}`, `[[],{},"\"",-1.5e3]`, `{"a":"\u00e9\\"}`, `{"a":`, `"`, `{"a" 1}`, `[1 2]`, `{"a":1,"a":2}`} {
		for _, at := range []string{"", "/a", "/a/b/2/c", "/3", "/0"} {
			f.Add(doc, at)
		}
	}
	f.Fuzz(func(t *testing.T, doc, at string) {
		p, err := parsePointer(at)
		if err != nil {
			return
		}
		got := p.scalar([]byte(doc))
		n := items(p.find([]byte(doc)))
		var tree any
		decoder := json.NewDecoder(strings.NewReader(doc))
		decoder.UseNumber()
		if !json.Valid([]byte(doc)) || decoder.Decode(&tree) != nil || duplicates(doc) {
			return
		}
		want, length := "", -1
		if value, found := walk(tree, p); found {
			switch v := value.(type) {
			case string:
				want = v
			case json.Number, bool:
				want = fmt.Sprint(v)
			case []any:
				length = len(v)
			}
		}
		if string(got) != want || n != length {
			t.Errorf("%q at %q: %q with %d items, want %q with %d", doc, at, got, n, want, length)
		}
	})
}

// duplicates: of two members of one name encoding/json takes the last, the pointer the first.
func duplicates(doc string) bool {
	type object struct {
		names map[string]bool
		key   bool
	}
	var stack []object
	decoder := json.NewDecoder(strings.NewReader(doc))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		top := len(stack) - 1
		if name, is := token.(string); is && top >= 0 && stack[top].key {
			if stack[top].names[name] {
				return true
			}
			stack[top].names[name] = true
			stack[top].key = false
			continue
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, object{make(map[string]bool), true})
			continue
		case json.Delim('['):
			stack = append(stack, object{})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
			top--
		}
		if top >= 0 && stack[top].names != nil {
			stack[top].key = true
		}
	}
}

func walk(tree any, p pointer) (any, bool) {
	for _, token := range p {
		switch v := tree.(type) {
		case map[string]any:
			member, found := v[token]
			if !found {
				return nil, false
			}
			tree = member
		case []any:
			var i int
			if n, err := fmt.Sscanf(token, "%d", &i); n != 1 || err != nil || fmt.Sprint(i) != token || i < 0 || i >= len(v) {
				return nil, false
			}
			tree = v[i]
		default:
			return nil, false
		}
	}
	return tree, true
}

func BenchmarkClassify(b *testing.B) {
	value := []byte("2")
	a := Answer{Status: 200, Header: func(string) []byte { return value }, Body: []byte(`{"products":[` + strings.Repeat(`{"id":1,"name":"tea"},`, 20) + `{}],"version":"2"}`)}
	for _, rule := range []string{"header:X-V", "json:/version", `body:"version":"(\d+)"`} {
		b.Run(rule, func(b *testing.B) {
			c, err := ParseClassifier([]string{rule})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				c(a)
			}
		})
	}
}
