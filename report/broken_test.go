package report_test

import (
	"bytes"
	"fmt"
	"html"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
	"coalmine/report"
)

// Of a run file that is broken, or holds next to nothing, every format is whole, says what is missing, and gives no verdict
// for it.
func TestBrokenFiles(t *testing.T) {
	run, traffic := cases["promote"].run(t), cases["attack"].run(t)
	nan := func(file []byte) []byte { return bytes.Replace(file, []byte(`"sent":100`), []byte(`"sent":NaN`), 1) }
	canary := func(hits uint64) []byte {
		return told{seed: 1, most: 4 * time.Second, end: analyze.End{Reason: "budget"}, canary: func(c *simulated.Canary) { c.Share = 0 }, window: func(w *attack.Window) {
			if w.Index == 30 && hits > 0 {
				w.Due, w.Sent, w.Hits, w.Arms["2"] = w.Due+hits, w.Sent+hits, w.Hits+hits, &attack.Tally{Hits: hits}
			}
		}}.run(t)
	}
	const reads = "made by a newer coalmine (\"coalmine/test\"); this one reads coalmine.run/1"
	for name, tc := range map[string]struct {
		file  []byte
		says  string // in every format
		blank bool   // and nothing else
	}{
		"empty":              {nil, "run file: empty: no header", true},
		"truncated header":   {run[:100], "run file: no header: the last line is cut off", true},
		"future":             {bytes.Replace(run, []byte("coalmine.run/1"), []byte("coalmine.run/9"), 1), reads, true},
		"not a run file":     {[]byte("name: products\n"), "line 1: \"name\": invalid character", true},
		"truncated":          {run[:len(run)/2], "the last line of the run file is cut off", false},
		"NaN":                {nan(run), "\"NaN\": invalid character 'N' looking for beginning of value: what follows is not read", false},
		"NaN in an attack":   {nan(traffic), "\"NaN\": invalid character 'N' looking for beginning of value: what follows is not read", false},
		"NaN at the end":     {bytes.Replace(run, []byte(`{"end":`), []byte("NaN\n{\"end\":"), 1), "\"NaN\": invalid character 'N'", false},
		"no canary hit":      {canary(0), "Canary share 0 % (0 of 100 answers that name a version)", false},
		"one canary hit":     {canary(1), "(1 of 101 answers that name a version)", false},
		"twenty versions":    {twenty(t), "19", false},
		"nothing but a head": {run[:bytes.IndexByte(run, '\n')+1], "The run file has no end", false},
	} {
		a, _, err := analyze.Replay(bytes.NewReader(tc.file))
		if unreadable := a.End.Reason == "unreadable"; (err != nil) != unreadable {
			t.Errorf("%s: %v, and ended by %q", name, err, a.End.Reason)
		}
		if v := a.Conclusion; v.Verdict == analyze.Promote || err != nil && (v.Verdict != analyze.Inconclusive || len(v.Void) != 1) {
			t.Errorf("%s: %s, void %q", name, v.Verdict, v.Void)
		}
		for _, format := range report.Formats() {
			show, _, _ := report.Named(format)
			var out bytes.Buffer
			if err := show(&out, a); err != nil {
				t.Fatalf("%s: %s: %v", name, format, err)
			}
			says(t, name+" "+format, format, out.String(), tc.says, tc.blank)
			switch format {
			case "json":
				_, schema := published(t)
				if value, err := jsonschema.UnmarshalJSON(&out); err != nil || schema.Validate(value) != nil {
					t.Errorf("%s: %v, %v", name, err, schema.Validate(value))
				}
			case "junit":
				conforms(t, name, out.Bytes())
			case "html":
				whole(t, name, a)
			}
		}
		if line := report.Line(a); err != nil && !strings.Contains(line, tc.says) {
			t.Errorf("%s: %s", name, line)
		}
	}
}

// says holds a report to its words, however the format spells and breaks them, and to no number that is none.
func says(t *testing.T, what, format, text, words string, alone bool) {
	t.Helper()
	if format == "html" {
		text = scripts.ReplaceAllString(text, "")
	}
	plain := strings.NewReplacer(`\"`, `"`, `\`, "", "\n", " ", "\u00a0", " ").Replace(html.UnescapeString(text))
	plain = strings.Join(strings.Fields(plain), " ")
	if words == "The run file has no end" && format == "json" {
		words = "crashed"
	}
	if !strings.Contains(strings.ToLower(plain), strings.ToLower(words)) {
		t.Errorf("%s: want %q in\n%.1500s", what, words, text)
	}
	rest := strings.ReplaceAll(plain, `"NaN"`, "")
	for _, bad := range []string{"NaN", "Inf", "%!", "0 requests"} {
		if strings.Contains(rest, bad) && (bad != "0 requests" || alone) {
			t.Errorf("%s: %q in\n%.1500s", what, bad, text)
		}
	}
	if alone && format != "json" && strings.Contains(plain, "127.0.0.1") {
		t.Errorf("%s: more than the reason:\n%.1500s", what, text)
	}
}

// twenty is a run in which twenty versions answer, at once.
func twenty(t *testing.T) []byte {
	return told{seed: 1, most: 4 * time.Second, end: analyze.End{Reason: "budget"}, window: func(w *attack.Window) {
		for v := 1; v <= 20 && w.Index == 1; v++ {
			if w.Arms[fmt.Sprint(v)] == nil {
				w.Arms[fmt.Sprint(v)] = &attack.Tally{Hits: 5}
				w.Due, w.Sent, w.Hits = w.Due+5, w.Sent+5, w.Hits+5
			}
		}
	}}.run(t)
}
