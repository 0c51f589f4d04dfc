package report_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/joshdk/go-junit"

	"coalmine/analyze"
	"coalmine/report"
)

// Readers of JUnit see what the verdict was: an inconclusive run is skipped, never passed; a void one is an error.
func TestJUnit(t *testing.T) {
	for name, want := range map[string]junit.Status{"promote": junit.StatusPassed, "reject": junit.StatusFailed, "inconclusive": junit.StatusSkipped,
		"interrupted": junit.StatusSkipped, "empty": junit.StatusSkipped, "void": junit.StatusError, "error": junit.StatusError, "crashed": junit.StatusError,
		"attack": junit.StatusPassed, "empty-attack": junit.StatusError, "hostile": junit.StatusError} {
		a := cases[name].analysis(t)
		var out bytes.Buffer
		if err := report.JUnit(&out, a); err != nil {
			t.Fatal(err)
		}
		suites, err := junit.Ingest(out.Bytes())
		if err != nil || len(suites) != 1 {
			t.Fatalf("%s: %v, %d suites", name, err, len(suites))
		}
		tests := suites[0].Tests
		if got := tests[0]; got.Status != want || want == junit.StatusSkipped && got.Message == "" {
			t.Errorf("%s: %s is %s, %q; want %s", name, got.Name, got.Status, got.Message, want)
		}
		if len(tests) != 1+len(a.Checks)+len(a.Phases) {
			t.Errorf("%s: %d cases for the verdict, %d checks and %d phases", name, len(tests), len(a.Checks), len(a.Phases))
		}
		for i, c := range a.Checks {
			want := map[analyze.Outcome]junit.Status{analyze.Pass: junit.StatusPassed, analyze.Fail: junit.StatusFailed, analyze.Undecided: junit.StatusSkipped}[c.Outcome]
			got := tests[1+i]
			if got.Status != want && !(c.Guard && got.Status == junit.StatusError) || want != junit.StatusPassed && !strings.Contains(got.Message, ".") {
				t.Errorf("%s: check %s is %s, %q; want %s", name, c.Name, got.Status, got.Message, want)
			}
		}
		conforms(t, name, out.Bytes())
	}
}

// conforms holds a report to what the schemas of Ant (github.com/windyroad/JUnit-Schema) and Jenkins
// (jenkinsci/xunit-plugin, junit-10.xsd) ask for: elements in their order, attributes that must be there, counts that
// add up, names that are unique and begin and end without a blank.
func conforms(t *testing.T, name string, text []byte) {
	t.Helper()
	required := map[string]string{
		"testsuites": "", "testsuite": "name package id timestamp hostname tests failures errors skipped time", "properties": "", "property": "name value",
		"testcase": "name classname time", "skipped": "message type", "error": "message type", "failure": "message type", "system-out": "", "system-err": "",
	}
	order := []string{"properties", "testcase", "system-out", "system-err"}
	var path, seen []string
	counts, told, names := map[string]int{}, map[string]string{}, map[string]bool{}
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			var attributes []string
			of := map[string]string{}
			for _, a := range e.Attr {
				attributes = append(attributes, a.Name.Local)
				of[a.Name.Local] = a.Value
			}
			if want, ok := required[e.Name.Local]; !ok || strings.Join(attributes, " ") != want {
				t.Errorf("%s: <%s> has %v, want %s", name, e.Name.Local, attributes, want)
			}
			counts[e.Name.Local]++
			switch {
			case len(path) == 1:
				told = of
			case len(path) == 2 && !slices.Contains(seen, e.Name.Local):
				seen = append(seen, e.Name.Local)
			}
			if key := of["classname"] + "/" + of["name"]; e.Name.Local == "testcase" && (names[key] || strings.TrimSpace(of["name"]) != of["name"]) {
				t.Errorf("%s: two cases %q, or a blank about it", name, key)
			} else {
				names[key] = e.Name.Local == "testcase"
			}
			path = append(path, e.Name.Local)
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
	if !slices.Equal(seen, order) {
		t.Errorf("%s: a suite of %v, want %v", name, seen, order)
	}
	for attribute, element := range map[string]string{"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"} {
		if want := strconv.Itoa(counts[element]); told[attribute] != want {
			t.Errorf("%s: %s is %s, there are %s", name, attribute, told[attribute], want)
		}
	}
}
