package analyze_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coalmine/analyze"
	"coalmine/attack"
)

const head = `{"header":{"format":"coalmine.run/1","tool":"t","command":"run","target":{"baseline":"1","canary":"2","percent":50},"plan":{"timeout_ns":10000000000}}}` + "\n"

// smallRun is a run file of a promote.
func smallRun(t testing.TB) []byte {
	p := policy(func(p *analyze.Policy) {
		p.Settle, p.MinDuration = analyze.Duration(time.Second), analyze.Duration(time.Second)
		p.Latency.Margin = map[analyze.Quantile]analyze.Slack{}
	})
	s := &story{out: nil}
	s.out = analyze.NewWriter(&s.file)
	h := analyze.Header{Format: analyze.Format, Policy: &p, Budget: 60_000, Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50},
		Plan: analyze.Plan{Timeout: 10 * time.Second}}
	var err error
	if s.judge, err = analyze.NewJudge(h); err != nil {
		t.Fatal(err)
	}
	s.out.Write(analyze.Record{Header: &h})
	c := healthy(1)
	c.Rate, c.Arrives, c.Spread = 3000, 0, 0
	s.traffic(c, analyze.During, 10*time.Second, nil)
	verdict := s.judge.Conclude()
	if verdict.Verdict != analyze.Promote {
		t.Fatal(verdict.Sentence)
	}
	s.out.Write(analyze.Record{Verdict: &verdict})
	s.out.Write(analyze.Record{End: &analyze.End{Reason: "verdict"}})
	return s.file.Bytes()
}

func TestRecordRoundTrip(t *testing.T) {
	p := policy(nil)
	w := attack.Window{Phase: analyze.During, Index: 3, Start: 3 * attack.WindowLength, Length: attack.WindowLength}
	answer(&w, "1", 5)
	moves(&w, 2)
	late(&w, 1, "2", 1)
	w.Turns = attack.Turns{Same: 1, Switched: 2}
	w.Wake.AddBin(7, 3)
	records := []analyze.Record{
		{Header: &analyze.Header{Format: analyze.Format, Started: time.Unix(1, 2).UTC(), Policy: &p, Stage: json.RawMessage(`{"a":1}`)}},
		{Event: &analyze.Event{At: 5, Phase: "during", Name: analyze.Note, Detail: map[string]string{"text": "<&>\n"}}},
		{Window: &w},
		{Look: &analyze.Look{At: 7, Checks: []analyze.Evidence{{Name: "split", Pass: 1.5, Fail: -2}}}},
		{Verdict: &analyze.Conclusion{Verdict: analyze.Reject, Sentence: "no"}},
		{End: &analyze.End{Reason: "verdict"}},
	}
	var file bytes.Buffer
	out := analyze.NewWriter(&file)
	for _, r := range records {
		out.Write(r)
	}
	if out.Err() != nil || bytes.Count(file.Bytes(), []byte("\n")) != len(records) {
		t.Fatalf("%v\n%s", out.Err(), &file)
	}
	var got []analyze.Record
	err := analyze.Read(&file, func(r analyze.Record) error { got = append(got, r); return nil })
	if diff := cmp.Diff(records, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

type fails struct{ after int }

func (f *fails) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestWriterKeepsItsFirstError(t *testing.T) {
	out := analyze.NewWriter(&fails{1})
	for range 3 {
		out.Write(analyze.Record{End: &analyze.End{}})
	}
	if out.Err() == nil || out.Err().Error() != "disk full" {
		t.Error(out.Err())
	}
}

func TestReadRefuses(t *testing.T) {
	window := func(fields string) string {
		return head + `{"window":{"phase":"during","index":3,"start_ns":300000000,"length_ns":100000000,` + fields + "}}\n"
	}
	for _, tc := range []struct{ name, file, want string }{
		{"empty", "", "run file: empty: no header"},
		{"blank", "\n\n", "want a header"},
		{"no header", `{"end":{"reason":"x"}}` + "\n", "line 1: want a header"},
		{"not JSON", "hello\n", "line 1:"},
		{"cut off header", head[:40], "run file: no header: the last line is cut off"},
		{"second header", head + head, "line 2: a second header"},
		{"other version", strings.Replace(head, "run/1", "run/2", 1), `line 1: format coalmine.run/2: made by a newer coalmine ("t"); this one reads coalmine.run/1`},
		{"other version, other fields", `{"header":{"format":"coalmine.run/9","tool":"coalmine/9\u001b[2J","started":{}}}`, `line 1: format coalmine.run/9: made by a newer coalmine ("coalmine/9\x1b[2J"); this one`},
		{"another tool's", strings.Replace(head, "coalmine.run/1", "canary/1", 1), `line 1: format "canary/1"; this coalmine reads coalmine.run/1`},
		{"NaN", window(`"wake":NaN`), `line 2: "NaN": invalid character 'N' looking for beginning of value: what follows is not read`},
		{"broken in the middle", head + "{\n" + `{"end":{}}` + "\n", "line 2:"},
		{"null tally", window(`"arms":{"1":null}`), "line 2: window 3 contradicts itself"},
		{"null late tally", window(`"late":[{"index":1,"unattributed":{"5xx":null}}]`), "line 2: window 3"},
		{"late from the future", window(`"late":[{"index":3}]`), "line 2: window 3"},
		{"hits of nobody", window(`"due":5,"hits":5`), "hits are not those of its arms"},
		{"more hits than due", window(`"due":1,"hits":2,"arms":{"1":{"hits":2}}`), "due is not hits and pending"},
		{"due without hits or pending", window(`"due":3`), "due is not hits and pending"},
		{"more errors than hits", window(`"due":1,"hits":1,"arms":{"1":{"hits":1,"errors":{"5xx":2}}}`), "arms"},
		{"more latencies than hits", window(`"due":1,"hits":1,"arms":{"1":{"hits":1,"response":"AQI"}}`), "arms"},
		{"absurd", window(`"due":18446744073709551615,"hits":0,"pending":18446744073709551615`), "due is not"},
		{"absurd turns", window(`"turns":{"same":18446744073709551615}`), "absurd"},
		{"absurdly often sent again", window(`"resent":18446744073709551615`), "absurd"},
		{"ids of nobody", window(`"due":1,"hits":1,"arms":{"1":{"hits":1}},"ids":[{"cause":"5xx","id":"c0a8f0e1-1234-4abc-9def-0123456789ab"}]`), "hits are not those of its arms"},
		{"an id that is none", window(`"due":1,"hits":1,"unattributed":{"5xx":{"hits":1}},"ids":[{"cause":"5xx","id":"1"}]`), "line 2: request id: 1 bytes that are no UUID"},
		{"targets that are not all of it", window(`"due":2,"hits":2,"arms":{"1":{"hits":2}},"targets":{"GET /":{"due":2,"arms":{"1":{"hits":1}}}}`), "its targets do not add up to it"},
		{"targets of another version", window(`"due":1,"hits":1,"arms":{"1":{"hits":1}},"targets":{"GET /":{"due":1,"arms":{"2":{"hits":1}}}}`), "do not add up"},
		{"errors of no target", window(`"due":1,"hits":1,"arms":{"1":{"hits":1,"errors":{"5xx":1}}},"targets":{"GET /":{"due":1,"arms":{"1":{"hits":1}}}}`), "do not add up"},
		{"dues of no target", window(`"due":2,"pending":2,"targets":{"GET /":{"due":1}}`), "do not add up"},
		{"a target of more than was due", window(`"due":2,"hits":1,"pending":1,"arms":{"1":{"hits":1}},"targets":{"GET /":{"due":2},"GET /b":{"arms":{"1":{"hits":1}}}}`), "more answers than were due"},
		{"null target", window(`"due":1,"pending":1,"targets":{"GET /":null}`), "a target's part of it is none"},
		{"late targets", window(`"late":[{"index":1,"arms":{"1":{"hits":1}},"targets":{"GET /":{"arms":{"1":{"hits":2}}}}}]`), "do not add up"},
		{"two targets of one name", strings.Replace(head, `"plan":{`, `"plan":{"targets":[{"name":"a","share":0.5},{"name":"a","share":0.5}],`, 1), `target "a": want each target once`},
		{"off the grid", head + `{"window":{"index":3,"start_ns":1,"length_ns":100000000}}` + "\n", "not on the grid"},
		{"another length", head + `{"window":{"index":3,"start_ns":300000000,"length_ns":1}}` + "\n", "not on the grid"},
		{"negative", head + `{"window":{"index":-3,"start_ns":-300000000,"length_ns":100000000}}` + "\n", "not on the grid"},
		{"negative count", window(`"due":-1`), "line 2:"},
	} {
		if _, _, err := analyze.Replay(strings.NewReader(tc.file)); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestReplayTakesWhatIsWhole(t *testing.T) {
	run := smallRun(t)
	lines := bytes.SplitAfter(run, []byte("\n"))
	lines = lines[:len(lines)-1]
	join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
	windows := func(w ...int) (out []byte) { // the header, the first three events, then windows in this order
		out = join(lines[:4]...)
		for _, i := range w {
			out = append(out, lines[4+i]...)
		}
		return out
	}
	for _, tc := range []struct {
		name, note, end string
		file            []byte
		verdict         analyze.Verdict
		windows         int // of the only phase, by its length
	}{
		{"whole", "", "verdict", run, analyze.Promote, 0},
		{"last line cut off", "the last line of the run file is cut off", "crashed", run[:len(run)-5], analyze.Promote, 0},
		{"last line without its newline", "", "verdict", run[:len(run)-1], analyze.Promote, 0},
		{"without an end", "", "crashed", join(lines[:len(lines)-1]...), analyze.Promote, 0},
		{"crashed early", "", "crashed", windows(0, 1, 2), analyze.Inconclusive, 3},
		{"window cut off", "the last line of the run file is cut off", "crashed", append(windows(0, 1), lines[6][:50]...), analyze.Inconclusive, 2},
		{"unknown kinds", "", "crashed", join(windows(0, 1), []byte(`{"weather":{"rain":[1]}}`+"\n\n{}\n"), lines[6]), analyze.Inconclusive, 3},
		{"out of order", "window 1 of phase \"during\" is out of order and was left out", "crashed", windows(0, 2, 1), analyze.Inconclusive, 3},
		{"twice", "2 windows came out of order", "crashed", windows(0, 1, 1, 1, 2), analyze.Inconclusive, 3},
		{"a gap", "", "crashed", windows(0, 4), analyze.Inconclusive, 5},
		{"a verdict of its own", "the file records REJECT; this version of coalmine judges the same windows INCONCLUSIVE", "crashed",
			append(windows(0, 1), []byte(`{"verdict":{"verdict":"REJECT"}}`+"\n")...), analyze.Inconclusive, 2},
		{"window before any phase", "out of order", "crashed", join(lines[0], lines[4]), analyze.Inconclusive, 0},
	} {
		a, _, err := analyze.Replay(bytes.NewReader(tc.file))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		noted := slices.ContainsFunc(a.Notes, func(n string) bool { return strings.Contains(n, tc.note) })
		if a.Conclusion.Verdict != tc.verdict || a.End.Reason != tc.end || noted != (len(a.Notes) > 0) {
			t.Errorf("%s: %s, end %q, notes %q", tc.name, a.Conclusion.Verdict, a.End.Reason, a.Notes)
		}
		if tc.windows > 0 && a.Phases[0].Length != time.Duration(tc.windows)*attack.WindowLength {
			t.Errorf("%s: %s of windows, want %d", tc.name, a.Phases[0].Length, tc.windows)
		}
	}
}

// Whatever a file holds, it is no reason to panic; and a promote needs the evidence of a promote.
func FuzzReplay(f *testing.F) {
	run := smallRun(f)
	lines := bytes.SplitAfter(run, []byte("\n"))
	f.Add(bytes.Join(lines[:12], nil))
	f.Add(bytes.Join(append(slices.Clone(lines[:5]), lines[len(lines)-4:]...), nil))
	f.Add([]byte(head))
	f.Add([]byte(head + `{"window":{"arms":{"1":null}}}`))
	for _, event := range []string{"phase.begin", "phase.end", "canary.created", "canary.deployed", "stage.changed", "clock.jump", "promote.end", "note"} {
		f.Add(append(bytes.Join(lines[:6], nil), `{"event":{"at_ns":-5,"phase":"after","name":"`+event+`"}}`...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 20_000 {
			return
		}
		a, _, err := analyze.Replay(bytes.NewReader(data))
		if err != nil {
			return
		}
		if _, err := json.Marshal(a); err != nil {
			t.Error(err)
		}
		if a.Conclusion.Verdict != analyze.Promote {
			return
		}
		for _, c := range a.Checks {
			if c.Outcome != analyze.Pass || c.N == 0 {
				t.Errorf("promoted on %s, %d hits: %s", c.Name, c.N, c.Sentence)
			}
		}
	})
}

// A blank line is no header.
func TestBlankFirstLine(t *testing.T) {
	for _, rest := range []string{`{"event":{"name":"note"}}`, `{"window":{}}`, head} {
		if _, _, err := analyze.Replay(strings.NewReader("\n" + rest + "\n")); err == nil || !strings.Contains(err.Error(), "want a header") {
			t.Errorf("%s: %v", rest, err)
		}
	}
}
