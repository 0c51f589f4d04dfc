package attack

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// said is a probed answer of status 200: headers one a line, then a body.
func said(body string, headers ...string) Probed {
	p := Probed{Status: 200, Header: make(http.Header), Body: []byte(body)}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		p.Header.Add(name, value)
	}
	return p
}

func failed(status int, class Class, headers ...string) Probed {
	p := said("oops", headers...)
	p.Status, p.Class = status, class
	return p
}

// several are n answers, each a little different.
func several(n int, each func(i int) Probed) (all []Probed) {
	for i := range n {
		all = append(all, each(i))
	}
	return all
}

func always(p Probed) []Probed { return []Probed{p, p, p} }

func TestLearn(t *testing.T) {
	check := func(name string, byVersion map[string][]Probed, rule string, values ...string) {
		t.Helper()
		got, err := Learn(byVersion)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got.Rule != rule || len(got.Values) != len(byVersion) {
			t.Errorf("%s: %+v, want %s", name, got, rule)
		}
		for i := 0; i < len(values); i += 2 {
			if got.Values[values[i]] != values[i+1] {
				t.Errorf("%s: values %v", name, got.Values)
			}
		}
		// What was learned tells every answer's version, and its rule can be given by hand.
		classify := got.Classifier()
		if _, err := ParseClassifier([]string{got.Rule}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for version, answers := range byVersion {
			for _, a := range tellingAnswers(answers) {
				if v, cause := classify(a.answer()); string(v) != version || cause != "" {
					t.Errorf("%s: %s: an answer of version %s is taken for %q, %q", name, got.Rule, version, v, cause)
				}
			}
		}
	}
	date := func(i int) string { return fmt.Sprintf("Date: Mon, 23 Nov 2026 06:00:%02d GMT", i) }

	check("a header that names the version", map[string][]Probed{
		"1": always(said(`{"v":"x"}`, "X-Lambda-Version: 1", "X-A: a", date(1))),
		"2": always(said(`{"v":"y"}`, "X-Lambda-Version: 2", "X-A: b", date(2))),
	}, "header:X-Lambda-Version", "1", "1", "2", "2")
	check("three versions", map[string][]Probed{
		"1": always(said("", "X-Lambda-Version: 1")), "2": always(said("", "X-Lambda-Version: 2")), "3": always(said("", "X-Lambda-Version: 3")),
	}, "header:X-Lambda-Version")
	check("JSON before a header that only differs", map[string][]Probed{
		"1": always(said(`{"meta":{"version":"1"},"count":10}`, "X-Color: blue")),
		"2": always(said(`{"meta":{"version":"2"},"count":20}`, "X-Color: green")),
	}, "json:/meta/version")
	check("a JSON number", map[string][]Probed{
		"1": always(said(`{"version":1}`)), "2": always(said(`{"version":2}`)),
	}, "json:/version")
	check("the header was removed in v2", map[string][]Probed{
		"1": always(said(`{"message":"all products v1"}`, "X-Lambda-Version: 1")),
		"2": always(said(`{"message":"all products v2"}`)),
	}, "json-number:/message", "1", "1", "2", "2")
	check("body text", map[string][]Probed{
		"1": always(said("all products v1")), "2": always(said("all products v2")),
	}, `body:all products v(\d+)`, "1", "1", "2", "2")
	check("body text with varying numbers", map[string][]Probed{
		"1": several(5, func(i int) Probed { return said(fmt.Sprintf("request %d answered by v1 at 12:0%d", 100+i, i)) }),
		"2": several(5, func(i int) Probed { return said(fmt.Sprintf("request %d answered by v2 at 13:0%d", 900+i, i)) }),
	}, `body: answered by v(\d+)`)
	check("a page", map[string][]Probed{
		"1": always(said("<html>\n<h1>Products</h1>\n<footer>release 1</footer></html>")),
		"2": always(said("<html>\n<h1>Products</h1>\n<footer>release 2</footer></html>")),
	}, `body:<footer>release (\d+)`)
	check("the last number of a header", map[string][]Probed{
		"1": several(3, func(i int) Probed { return said("", fmt.Sprintf("X-Served-By: host-%d products:1", i)) }),
		"2": several(3, func(i int) Probed { return said("", fmt.Sprintf("X-Served-By: host-%d products:2", i)) }),
	}, "header-number:X-Served-By")
	check("values that stand for versions", map[string][]Probed{
		"7": always(said(`{"price":12}`, "X-Release: blue", "X-Amzn-Requestid: abc", date(1), "Content-Length: 12")),
		"8": always(said(`{"price":13}`, "X-Release: green", "X-Amzn-Requestid: def", date(2), "Content-Length: 13")),
	}, "header:X-Release", "7", "blue", "8", "green")
	check("not the header that changes with each answer", map[string][]Probed{
		"1": several(3, func(i int) Probed { return said(`{"build":"a7f"}`, fmt.Sprintf("X-Some: %d", i)) }),
		"2": several(3, func(i int) Probed { return said(`{"build":"b9c"}`, fmt.Sprintf("X-Some: %d", 10+i)) }),
	}, "json:/build")
	check("not the instance", map[string][]Probed{
		"1": always(said(`{"instance":"i-1","kind":"old"}`, date(1), "X-Instance-Id: aaa")),
		"2": always(said(`{"instance":"i-2","kind":"new"}`, date(2), "X-Instance-Id: bbb")),
	}, "json:/kind", "1", "old", "2", "new")
	check("errors that say nothing", map[string][]Probed{
		"1": always(said(`{}`, "X-Lambda-Version: 1")),
		"2": {said(`{}`, "X-Lambda-Version: 2"), failed(500, ServerError), failed(502, ServerError), said(`{}`, "X-Lambda-Version: 2")},
	}, "header:X-Lambda-Version")
	check("nothing but errors that say it", map[string][]Probed{
		"1": always(said(`{}`, "X-Lambda-Version: 1")),
		"2": always(failed(500, ServerError, "X-Lambda-Version: 2")),
	}, "header:X-Lambda-Version")
	check("text that differs", map[string][]Probed{
		"1": always(said("hello from the old one")), "2": always(said("hello from the new one")),
	}, `body:hello from the ([\w-]+(?:\.[\w-]+)*)`, "1", "old", "2", "new")
}

func TestNothingToLearn(t *testing.T) {
	check := func(name string, byVersion map[string][]Probed, want ...string) {
		t.Helper()
		got, err := Learn(byVersion)
		if err == nil {
			t.Errorf("%s: %+v", name, got)
			return
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v: want %q", name, err, part)
			}
		}
	}
	same := always(said(`{"products":[]}`, "X-A: a", "Authorization: Bearer abc", "X-Token: 1"))
	check("the same", map[string][]Probed{"1": same, "2": same},
		"nothing in their answers differs between versions 1 and 2", "HTTP 200", `{"products":[]}`, "Authorization: [redacted]", "X-Token: [redacted]", "context.function_version")
	check("one version", map[string][]Probed{"1": same}, "want two")
	check("a silent version", map[string][]Probed{"1": same, "2": {{Trouble: "timeout"}}}, "version 2 did not answer")
	check("two alike of three", map[string][]Probed{
		"1": always(said("", "X-R: a")), "2": always(said("", "X-R: b")), "3": always(said("", "X-R: b")),
	}, "nothing in their answers differs")
	check("seen once each", map[string][]Probed{
		"1": {said("", "X-Blob: a81b")}, "2": {said("", "X-Blob: c77d")},
	}, "nothing in their answers differs")
	check("only the date", map[string][]Probed{
		"1": always(said("ok", "Date: a", "Etag: 1x", "Set-Cookie: a=1")), "2": always(said("ok", "Date: b", "Etag: 2x", "Set-Cookie: a=2")),
	}, "nothing in their answers differs")
}

func TestLearnMixed(t *testing.T) {
	mixed := func(each func(version string, i int) Probed) []Probed {
		return several(20, func(i int) Probed { return each([]string{"1", "2"}[i/2%2], i) })
	}
	check := func(name string, answers []Probed, rule string) {
		t.Helper()
		got, err := LearnMixed(answers, "1", "2")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got.Rule != rule || got.Values["1"] != "1" || got.Values["2"] != "2" || len(got.Values) != 2 || got.Where == "" {
			t.Errorf("%s: %+v, want %s", name, got, rule)
		}
	}
	check("header", mixed(func(v string, i int) Probed {
		return said(`{"id":`+fmt.Sprint(i)+`,"version":"`+v+`"}`, "X-Lambda-Version: "+v, "X-Amzn-Requestid: "+fmt.Sprint(i))
	}), "header:X-Lambda-Version")
	check("json", mixed(func(v string, i int) Probed { return said(`{"page":` + fmt.Sprint(i) + `,"version":` + v + `}`) }), "json:/version")
	check("the likelier name of two", mixed(func(v string, i int) Probed { return said(`{"at":` + v + `,"my_version":` + v + `}`) }), "json:/my_version")
	check("text", mixed(func(v string, i int) Probed { return said("all products v" + v) }), `body:all products v(\d+)`)
	check("text in JSON", mixed(func(v string, i int) Probed { return said(`{"message":"all products v` + v + `"}`) }), "json-number:/message")
	check("header with more", mixed(func(v string, i int) Probed {
		return said("", fmt.Sprintf("X-Served-By: req-%d products:%s", 100+i, v))
	}), "header-number:X-Served-By")
	check("errors among them", mixed(func(v string, i int) Probed {
		if i%5 == 0 {
			return failed(500, ServerError)
		}
		return said("", "X-Lambda-Version: "+v)
	}), "header:X-Lambda-Version")
	check("an arm of errors", mixed(func(v string, i int) Probed {
		if v == "2" {
			return failed(500, ServerError, "X-Lambda-Version: 2")
		}
		return said("", "X-Lambda-Version: 1")
	}), "header:X-Lambda-Version")

	refuse := func(name string, answers []Probed, want string) {
		t.Helper()
		got, err := LearnMixed(answers, "1", "2")
		if err == nil || !strings.Contains(err.Error(), want) || len(answers) > 0 && !strings.Contains(err.Error(), "setdefault") {
			t.Errorf("%s: %+v, %v: want %q", name, got, err, want)
		}
	}
	refuse("only one", several(50, func(int) Probed { return said("", "X-Lambda-Version: 1") }), "all 50 good answers name version 1 (header:X-Lambda-Version), none 2\n")
	refuse("none", several(50, func(int) Probed { return said(`{"a":"b"}`) }), "no header, JSON value or text in 50 answers names version 1 or 2")
	refuse("a third", several(50, func(i int) Probed { return said("", fmt.Sprint("X-Lambda-Version: ", 1+i%3)) }), "no header, JSON value or text")
	refuse("no answers", nil, "nothing answered")
	if _, err := LearnMixed(nil, "1", "1"); err == nil {
		t.Error("one version is not two")
	}
	blue, err := LearnMixed([]Probed{said("stack blue-1 is up"), said("stack green-2 is up")}, "blue-1", "green-2")
	if err != nil || blue.Rule != `body:stack ([\w-]+(?:\.[\w-]+)*)` {
		t.Errorf("names: %+v, %v", blue, err)
	}
}

// A canary that fails every request, and says nothing of itself, is judged by the errors of the stage: what names the
// baseline is enough.
func TestLearnDeadCanary(t *testing.T) {
	dead := func(good string) []Probed {
		return several(50, func(i int) Probed {
			if i%5 < 2 {
				return failed(502, ServerError)
			}
			return said(good, "X-Lambda-Version: 1")
		})
	}
	got, err := LearnMixed(dead(""), "1", "2")
	if err != nil || got.Rule != "header:X-Lambda-Version" || got.Values["2"] != "2" ||
		!strings.Contains(got.Where, "; none of 50 answers is of version 2; 20 of 50 answers were errors: 20 x HTTP 502") {
		t.Errorf("mixed: %+v, %v", got, err)
	}
	// A number that stays the same is easily found elsewhere.
	page := several(50, func(i int) Probed {
		if i%5 < 2 {
			return failed(503, ServerError)
		}
		return said(`{"page":1}`)
	})
	refused := func(name, want string, got Learned, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v: want %q", name, got, err, want)
		}
	}
	got, err = LearnMixed(page, "1", "2")
	refused("no version's name", "all 30 good answers name version 1 (json:/page), none 2; 20 of 50 answers were errors: 20 x HTTP 503", got, err)
	got, err = LearnMixed(several(50, func(int) Probed { return failed(502, ServerError) }), "1", "2")
	refused("nothing works", "in 50 answers names version 1 or 2; 50 of 50 answers were errors: 50 x HTTP 502", got, err)
	got, err = LearnMixed([]Probed{{Class: Timeout}, {Class: Timeout}}, "1", "2")
	refused("silence", "nothing answered; 2 of 2 answers were errors: 2 x timeout", got, err)

	// An error's text is no version's mark: the baseline's would be taken for the canary's.
	message := func(text string) []Probed { return always(said(`{"message":"` + text + `"}`)) }
	broken := always(failed(502, ServerError))
	got, err = Learn(map[string][]Probed{"1": message("products v1"), "2": broken, "3": message("products v3")})
	if err != nil || got.Rule != "json-number:/message" || got.Values["2"] != "2" || !strings.Contains(got.Where, "3 of 3 answers were errors") {
		t.Errorf("one of three: %+v, %v", got, err)
	}
	got, err = Learn(map[string][]Probed{"1": message("old"), "2": broken})
	refused("one of two", "3 of 3 answers were errors: 3 x HTTP 502", got, err)
	got, err = Learn(map[string][]Probed{"1": always(said("", "X-Release: 1")), "2": broken})
	if err != nil || got.Rule != "header:X-Release" {
		t.Errorf("named by the only good one: %+v, %v", got, err)
	}
}

// What is neither version is one of its own, and never passes for another.
func TestLearnedForeignVersion(t *testing.T) {
	l := Learned{Rule: "header:X-R", Values: map[string]string{"1": "blue", "2": "green"}}
	check := func(value, version string, cause Cause) {
		t.Helper()
		if v, why := l.Classifier()(answerOf(200, "X-R: "+value, "")); string(v) != version || why != cause {
			t.Errorf("%q: %q, %q, want %q, %q", value, v, why, version, cause)
		}
	}
	check("blue", "1", "")
	check("green", "2", "")
	check("red", "red", "")
	check("2", "value 2", "")
	check("", "", Unrecognised)
}

// A target that echoes what it was asked does not make us show our own credentials.
func TestRedactedHidesOurOwn(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		fmt.Fprintf(w, "you said %s and %s, %s", r.Header.Get("Authorization"), r.Header.Get("X-Api"), r.URL.RawQuery)
	}))
	defer server.Close()
	p := Plan{Target: vegeta.Target{URL: server.URL + "/?pin=top+secret", Header: http.Header{"Authorization": {"Bearer hunter22"}, "X-Api": {"k3yk3y"}}},
		Expect: Expect{JSON: map[string]Shape{"/version": {}}}, Duration: 200 * time.Millisecond, MaxHits: 4}
	sample, err := Probe(t.Context(), p, 1)
	if err != nil {
		t.Fatal(err)
	}
	shown := sample.Answers[0].Redacted()
	for w := range Run(t.Context(), p) {
		shown += strings.Join(w.Examples, "\n")
	}
	if !strings.Contains(shown, "you said") || strings.Count(shown, "[redacted]") < 4 {
		t.Errorf("nothing to look at: %s", shown)
	}
	for _, secret := range []string{"hunter22", "k3yk3y", "secret"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%q in: %s", secret, shown)
		}
	}
}

// Of one version alone: only a place that is called like a version counts, and one that names the absent version wins.
func TestLearnAlone(t *testing.T) {
	answer := func(header, body string) Probed {
		h := http.Header{}
		if name, value, ok := strings.Cut(header, ": "); ok {
			h.Set(name, value)
		}
		return Probed{Status: 200, Header: h, Body: []byte(body)}
	}
	for _, tc := range []struct {
		name    string
		answers []Probed
		absent  string
		rule    string // "": none
	}{
		{"header", []Probed{answer("X-Lambda-Version: 2", "{}"), answer("X-Lambda-Version: 2", "{}")}, "", "header:X-Lambda-Version"},
		{"a number that happens to be", []Probed{answer("X-Shard: 2", `{"count": 2}`), answer("X-Shard: 2", `{"count": 2}`)}, "", ""},
		{"the absent one", []Probed{answer("X-Lambda-Version: 1", `{"api_version": 2}`), answer("X-Lambda-Version: 1", `{"api_version": 2}`)}, "1", "header:X-Lambda-Version"},
		{"both, by JSON", []Probed{answer("", `{"version": "1"}`), answer("", `{"version": "2"}`)}, "1", "json:/version"},
		{"another alone", []Probed{answer("X-Lambda-Version: 7", "{}"), answer("X-Lambda-Version: 7", "{}")}, "1", "header:X-Lambda-Version"},
		{"others, by JSON", []Probed{answer("", `{"version": "1"}`), answer("", `{"version": "3"}`)}, "", "json:/version"},
		{"a release of another kind", []Probed{answer("X-Release: 1.4", "{}"), answer("X-Release: 1.4", "{}")}, "", ""},
		{"the interface's", []Probed{answer("", `{"api_version": 1}`), answer("", `{"api_version": 1}`)}, "", ""},
		{"no answer", nil, "", ""},
	} {
		got, err := LearnAlone(tc.answers, "2", tc.absent)
		if got.Rule != tc.rule || (err == nil) != (tc.rule != "") {
			t.Errorf("%s: %q, %v; want %q", tc.name, got.Rule, err, tc.rule)
		}
	}
}
