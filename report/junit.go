package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"coalmine/analyze"
)

// The elements of a JUnit report, in the order and with the attributes that the schema of Ant's reports asks for; that
// of Jenkins takes the same.
type (
	testsuites struct {
		XMLName xml.Name  `xml:"testsuites"`
		Suite   testsuite `xml:"testsuite"`
	}
	testsuite struct {
		Name       string     `xml:"name,attr"`
		Package    string     `xml:"package,attr"`
		ID         int        `xml:"id,attr"`
		Timestamp  string     `xml:"timestamp,attr"`
		Hostname   string     `xml:"hostname,attr"`
		Tests      int        `xml:"tests,attr"`
		Failures   int        `xml:"failures,attr"`
		Errors     int        `xml:"errors,attr"`
		Skipped    int        `xml:"skipped,attr"`
		Time       string     `xml:"time,attr"`
		Properties []property `xml:"properties>property"`
		Cases      []testcase `xml:"testcase"`
		Out        printed    `xml:"system-out"`
		Err        printed    `xml:"system-err"`
	}
	printed struct {
		Text string `xml:",cdata"`
	}
	property struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	testcase struct {
		Name    string  `xml:"name,attr"`
		Class   string  `xml:"classname,attr"`
		Time    string  `xml:"time,attr"`
		Skipped *reason `xml:"skipped"`
		Error   *reason `xml:"error"`
		Failure *reason `xml:"failure"`
	}
	reason struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes a test case for the verdict, each check and each phase: what failed is a failure, what is void an error,
// and what is undecided was skipped, with the reason.
func JUnit(w io.Writer, a analyze.Analysis) error {
	var table strings.Builder
	if err := Table(&table, a); err != nil {
		return err
	}
	suite := testsuite{
		Name: "coalmine", Package: "coalmine", Timestamp: a.Header.Started.UTC().Format("2006-01-02T15:04:05"),
		Hostname: "localhost", Time: seconds(length(a)), Properties: properties(a), Cases: testcases(a),
		Out: printed{table.String()}, Err: printed{Line(a)},
	}
	return suite.write(w)
}

// write counts the cases, each by the worst that it says, and writes the suite.
func (s testsuite) write(w io.Writer) error {
	for _, c := range s.Cases {
		s.Tests++
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(testsuites{Suite: s}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func properties(a analyze.Analysis) (all []property) {
	t := a.Header.Target
	for _, p := range []property{
		{"verdict", a.Conclusion.Verdict.String()}, {"action", a.Action}, {"where", t.Where}, {"url", t.URL}, {"baseline", t.Baseline},
		{"canary", t.Canary}, {"percent", fmt.Sprintf("%.4g", t.Percent)}, {"covers", t.Covers}, {"tool", a.Header.Tool},
	} {
		if judged := a.Header.Policy != nil; p.Value != "" && (judged || p.Name != "verdict" && p.Name != "action" && p.Name != "percent") {
			all = append(all, property{p.Name, visible(p.Value)})
		}
	}
	return all
}

func testcases(a analyze.Analysis) (all []testcase) {
	verdict := testcase{Name: "verdict", Class: "coalmine", Time: seconds(0)}
	c := a.Conclusion
	broke := a.End.Reason == "error" || a.End.Reason == "crashed"
	switch {
	case a.End.Reason == "unreadable":
		verdict.Error = because(a.End.Reason, c.Sentence)
	case broke:
		verdict.Error = because("broken", ending(a))
	case a.Header.Policy == nil:
		verdict.Name = "run"
	case c.Verdict == analyze.Reject || c.Verdict == analyze.Refuted:
		verdict.Failure = because(c.Verdict.String(), c.Sentence)
	case len(c.Void) > 0:
		verdict.Error = because("void", c.Sentence)
	case c.Verdict == analyze.Inconclusive:
		verdict.Skipped = because(c.Verdict.String(), c.Sentence)
	}
	all = append(all, verdict)
	for _, check := range a.Checks {
		all = append(all, checkCase(check, len(c.Void) > 0))
	}
	for _, phase := range a.Phases {
		t := testcase{Name: token(phase.Name), Class: "coalmine.phase", Time: seconds(phase.Length)}
		if phase.Name != analyze.During && a.Header.Policy != nil { // that one is what the checks are about
			t.settle(phase.Outcome, phase.Sentence)
		}
		all = append(all, t)
	}
	return all
}

func checkCase(c analyze.Check, void bool) testcase {
	t := testcase{Name: token(c.Name), Class: "coalmine.check", Time: seconds(0)}
	if c.Outcome == analyze.Fail && (c.Guard || c.Name == "measurement") {
		t.Error = because("void", c.Sentence)
		return t
	}
	if t.settle(c.Outcome, c.Sentence); void && t.Skipped != nil {
		t.Skipped.Type = "void"
	}
	return t
}

func (t *testcase) settle(o analyze.Outcome, sentence string) {
	switch o {
	case analyze.Fail:
		t.Failure = because(o.String(), sentence)
	case analyze.Undecided:
		t.Skipped = because(o.String(), sentence)
	}
}

// token is a name as XML has it: no blanks about it, and single ones within.
func token(name string) string { return strings.Join(strings.Fields(visible(name)), " ") }

func because(kind, sentence string) *reason {
	return &reason{Message: visible(sentence), Type: kind, Text: visible(sentence)}
}

// length is the time from the start of the run to the end of its last phase.
func length(a analyze.Analysis) time.Duration {
	if len(a.Phases) == 0 {
		return 0
	}
	last := a.Phases[len(a.Phases)-1]
	return last.Start + last.Length
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
