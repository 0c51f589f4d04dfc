package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/report"
)

func page(t *testing.T, a analyze.Analysis) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.HTML(&out, a); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var (
	scripts = regexp.MustCompile(`(?s)<(script|style)>.*?</(script|style)>`)
	digests = regexp.MustCompile(`sha256-([A-Za-z0-9/=]|&#43;)*`)
	columns = regexp.MustCompile(`\[[-0-9.,enul+]{60,}\]`)
	rows    = regexp.MustCompile(`(?s)(<summary>.*?<tbody>\n[^\n]*\n)(.*?)(</tbody>)`)
)

// essence is a page without the library, and of its long columns and tables the beginning and a digest.
func essence(html string) string {
	html = scripts.ReplaceAllString(html, "<$1>...</$2>")
	html = digests.ReplaceAllString(html, "sha256-...")
	short := func(s string) string {
		return fmt.Sprintf("... %d more, %x", strings.Count(s, ",")+strings.Count(s, "<tr>"), sha256.Sum256([]byte(s)))[:30]
	}
	html = rows.ReplaceAllStringFunc(html, func(s string) string {
		m := rows.FindStringSubmatch(s)
		return m[1] + short(m[2]) + m[3]
	})
	html = columns.ReplaceAllStringFunc(html, func(s string) string { return s[:20] + short(s[20:]) + "]" })
	return strings.ReplaceAll(html, `{"id":`, "\n{\"id\":")
}

func TestHTML(t *testing.T) {
	for _, name := range []string{"promote", "reject", "inconclusive", "interrupted", "empty"} {
		a := cases[name].analysis(t)
		html := page(t, a)
		if html != page(t, a) || html != page(t, cases[name].analysis(t)) {
			t.Errorf("%s: the same run gives another page", name)
		}
		golden(t, name+".html", []byte(essence(html)))
	}
}

// Whatever the run was, the page is whole: nothing is divided by nothing, and no chart is drawn of nothing.
func TestHTMLIsWhole(t *testing.T) {
	for name, story := range cases {
		if name != "long" { // TestHTMLSize
			whole(t, name, story.analysis(t))
		}
	}
	for name, story := range map[string]told{
		"no canary answer":  {seed: 1, most: 4 * time.Second, canary: func(c *simulated.Canary) { c.Share = 0 }},
		"one canary answer": {seed: 1, most: 4 * time.Second, canary: func(c *simulated.Canary) { c.Share = 0.0003 }},
		"no answer at all":  {seed: 1, most: 2 * time.Second, canary: func(c *simulated.Canary) { c.Baseline.Hang, c.Canary.Hang = 1, 1 }},
		"errors only":       {seed: 1, most: 2 * time.Second, canary: func(c *simulated.Canary) { c.Baseline.Errors, c.Canary.Errors = 1, 1 }},
	} {
		whole(t, name, story.analysis(t))
	}
	whole(t, "nothing", analyze.Analysis{})
	alone := cases["promote"].analysis(t) // as of a verify
	alone.Header.Target.Percent, alone.Phases, alone.Checks = 100, alone.Phases[2:], nil
	whole(t, "alone", alone)
	odd := cases["reject"].analysis(t)
	for i := range odd.Checks {
		x := []float64{math.NaN(), math.Inf(1), math.MaxFloat64}[i%3]
		odd.Checks[i].Estimate, odd.Checks[i].Proven.High, odd.Checks[i].Evidence = &x, &x, x
	}
	odd.Timeline.Moments[3].Judged = &analyze.Band{Canary: math.NaN(), Low: math.Inf(-1), High: math.NaN()}
	odd.Timeline.Courses[0].Pass[0] = math.NaN()
	whole(t, "NaN", odd)
}

func whole(t *testing.T, name string, a analyze.Analysis) {
	t.Helper()
	html := page(t, a)
	seen := strings.ReplaceAll(scripts.ReplaceAllString(html, ""), `&#34;NaN&#34;`, "") // quoted from a broken file
	for _, bad := range []string{"NaN", "Inf", "%!", "\x1b", "<no value>"} {
		if strings.Contains(seen, bad) {
			t.Errorf("%s: %q: ...%s", name, bad, seen[max(strings.Index(seen, bad)-200, 0):][:250])
		}
	}
	_, data, _ := strings.Cut(html, `id="data">`)
	data, _, _ = strings.Cut(data, "</script>")
	var drawn struct {
		Charts []struct {
			ID     string
			At     []float64
			Series []struct{ Values []*float64 }
		}
	}
	if err := json.Unmarshal([]byte(data), &drawn); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, c := range drawn.Charts {
		points := 0
		for i, s := range c.Series {
			if len(s.Values) != len(c.At) {
				t.Errorf("%s: chart %s: series %d has %d values at %d places", name, c.ID, i, len(s.Values), len(c.At))
			}
			for _, v := range s.Values {
				if v != nil {
					points++
				}
			}
		}
		if points == 0 {
			t.Errorf("%s: chart %s is blank", name, c.ID)
		}
		if !strings.Contains(seen, `data-chart="`+c.ID+`"`) {
			t.Errorf("%s: chart %s has no place on the page", name, c.ID)
		}
	}
}

// What servers and scenarios say is text, wherever it is shown.
func TestHTMLEscapes(t *testing.T) {
	const evil = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&`
	a := told{seed: 1, most: 4 * time.Second, names: [2]string{"<script>1", evil}, end: analyze.End{Reason: "error", Error: evil}}.analysis(t)
	a.Header.Target.Where, a.Header.Target.URL, a.Header.Target.Classify, a.Header.Name, a.Header.Tool = evil, evil, evil, evil, evil
	a.Header.Stage = json.RawMessage(`{"x":"` + `</script><script>alert(1)` + `"}`)
	a.Notes = append(a.Notes, evil)
	a.Conclusion.Void = []string{evil, evil}
	a.Conclusion.Sentence = evil
	a.Phases[0].Name, a.Phases[0].Stage, a.Phases[0].Sentence = evil, evil, evil
	a.Events = append(a.Events, analyze.Event{Name: analyze.PercentSet, Detail: map[string]string{"percent": evil, "deployment": evil}})
	for i := range a.Checks {
		a.Checks[i].Name, a.Checks[i].Sentence = evil, evil
	}
	for i := range a.Timeline.Moments {
		a.Timeline.Moments[i].Classes = map[string]uint64{evil: 1}
	}
	html := page(t, a)
	if n := strings.Count(html, "<script"); n != 3 {
		t.Errorf("%d script elements, want the page's own 3", n)
	}
	if strings.Contains(html, "<img") || strings.Contains(html, "alert(1)</script>") {
		t.Error("markup from outside is markup on the page")
	}
	if !strings.Contains(html, "&lt;script&gt;") {
		t.Error("what was escaped is not shown at all")
	}
}

// Twenty versions are too many to tell apart in a chart; the page says who is left out.
func TestHTMLManyVersions(t *testing.T) {
	a := cases["interrupted"].analysis(t)
	for i := range 20 {
		name := fmt.Sprint("v", i)
		a.Timeline.Arms = append(a.Timeline.Arms, name)
		for j := range a.Timeline.Moments {
			a.Timeline.Moments[j].Arms[name] = analyze.Answered{Hits: uint64(i + 1), P50: 1e6, P95: 2e6, P99: 3e6}
		}
	}
	html := page(t, a)
	if !strings.Contains(html, "16 more versions answered") || !strings.Contains(html, `"version v19"`) || strings.Contains(html, `"version v3"`) {
		t.Error("want the two compared versions and the four busiest others")
	}
}

// While nothing is decided the live page gives no verdict, whatever it would be if the run ended now.
func TestLivePageHasNoVerdictYet(t *testing.T) {
	a := cases["promote"].analysis(t)
	ended := a.End
	a.End = analyze.End{}
	word := func(want, why string) {
		t.Helper()
		var out bytes.Buffer
		if err := report.LivePage(&out, a); err != nil {
			t.Fatal(err)
		}
		if html := out.String(); !strings.Contains(html, "<strong>"+want+"</strong>") || !strings.Contains(html, why) {
			t.Errorf("want %s, %q in %s", want, why, html[strings.Index(html, "<main"):][:900])
		}
	}
	word("PROMOTE", "Had any one of these bounds")
	a.Conclusion = analyze.Conclusion{Sentence: "INCONCLUSIVE: the run ended before a verdict."}
	word("RUNNING", "Phase after. 13 of 13 checks pass so far; no verdict yet.")
	a.Phases, a.Conclusion = a.Phases[:1], analyze.Conclusion{At: time.Second, Sentence: "INCONCLUSIVE: stage prod before the canary: too few answers."}
	a.Propagation = analyze.Propagation{}
	word("RUNNING", "Phase before. Nothing is judged yet.")
	a.End = ended
	word("INCONCLUSIVE", "Stage prod before the canary: too few answers.")
}
