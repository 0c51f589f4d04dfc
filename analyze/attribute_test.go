package analyze_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/attack"
)

// identify gives every unattributed error an id, as a run with request ids would; they count up.
func identify(a *attack.Answers, last *uint64) {
	for _, cause := range []attack.Cause{attack.No5xx, attack.No504, attack.NoTimeout} {
		t := a.Unattributed[cause]
		if t == nil {
			continue
		}
		for class, n := range t.Errors {
			for range n {
				*last++
				a.IDs = append(a.IDs, attack.Anonymous{ID: numbered(*last), Cause: cause, Class: class, Answered: t.First})
			}
		}
	}
}

func numbered(n uint64) (id attack.RequestID) {
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// dead is the run of a canary whose answers are all 500 and, but where they are named, name no version.
func dead(t testing.TB, named bool) (run []byte, ids uint64, a analyze.Analysis) {
	p := policy(nil)
	s := begin(t, &p)
	s.traffic(alone("1", 1), analyze.Before, 10*time.Second, nil, "stage", "prod", "expect", "1")
	c := healthy(2)
	c.Canary.Anonymous = 1
	if named {
		c.Canary.Anonymous, c.Canary.Errors = 0, 1
	}
	s.traffic(c, analyze.During, 10*time.Second, func(w *attack.Window) {
		identify(&w.Answers, &ids)
		for i := range w.Late {
			identify(&w.Late[i].Answers, &ids)
		}
	})
	a = s.finish("verdict")
	return s.file.Bytes(), ids, a
}

func rejoin(t *testing.T, run []byte, log analyze.AccessLog) (a analyze.Analysis, j analyze.Join, out []byte) {
	t.Helper()
	var to bytes.Buffer
	j = analyze.Join{Name: "LOGS", Log: log, Out: &to}
	a, _, err := j.Rejudge(bytes.NewReader(run), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a, j, to.Bytes()
}

func TestJoinDeadCanary(t *testing.T) {
	run, ids, live := dead(t, false)
	_, _, known := dead(t, true)
	sought, err := analyze.Seek(bytes.NewReader(run))
	if err != nil || uint64(len(sought.IDs)) != ids || !sought.First.After(sought.Header.Started) || !sought.Last.After(sought.First) {
		t.Fatalf("%d ids of %d, from %s to %s: %v", len(sought.IDs), ids, sought.First, sought.Last, err)
	}
	log := analyze.AccessLog{}
	for id := range sought.IDs {
		log[id] = analyze.Access{Canary: true, Status: 500}
	}
	a, j, out := rejoin(t, run, log)
	if j.Joined != (analyze.Joined{Canary: ids}) {
		t.Errorf("%+v of %d", j.Joined, ids)
	}
	if live.Conclusion.Culprit != "stage errors" || a.Conclusion.Culprit != "errors 2 early" || a.Conclusion.Verdict != analyze.Reject {
		t.Errorf("live: %s\njoined: %s", live.Conclusion.Sentence, a.Conclusion.Sentence)
	}
	got, want := a.Conclusion, known.Conclusion
	if want.Requests = got.Requests; marshal(t, got) != marshal(t, want) { // the run went on for longer, that is all
		t.Errorf("joined:\n%s, had the answers named their version:\n%s", marshal(t, got), marshal(t, want))
	}
	if !slices.ContainsFunc(a.Notes, func(n string) bool { return strings.HasPrefix(n, "by access log LOGS") }) {
		t.Errorf("notes %q", a.Notes)
	}

	again, _, outAgain := rejoin(t, run, log)
	if marshal(t, again) != marshal(t, a) || !bytes.Equal(outAgain, out) {
		t.Error("the same join gives something else")
	}
	fromFile, recorded, err := analyze.Replay(bytes.NewReader(out))
	if err != nil || marshal(t, fromFile) != marshal(t, a) || marshal(t, recorded) != marshal(t, a.Conclusion) {
		t.Errorf("%v: the attributed run says\n%s, want\n%s", err, marshal(t, fromFile), marshal(t, a))
	}
	if _, j, third := rejoin(t, out, log); j.Joined != (analyze.Joined{}) || !bytes.Equal(third, out) {
		t.Errorf("attributed again: %+v", j.Joined)
	}
}

// Looks at evidence that has changed since are not in the attributed run, earlier ones are; what this version of the
// tool does not know is.
func TestJoinKeepsWhatIsTrue(t *testing.T) {
	run, ids, _ := dead(t, false)
	early, late, unknown := `{"look":{"at_ns":1,"checks":[]}}`+"\n", `{"look":{"at_ns":2,"checks":[]}}`+"\n", `{"weather":{"rain":[1]}}`+"\n"
	lines := strings.SplitAfter(string(run), "\n")
	verdict := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, `{"verdict"`) })
	lines = slices.Insert(lines, verdict, late, unknown)
	lines = slices.Insert(lines, 1, early)
	run = []byte(strings.Join(lines, ""))
	log := analyze.AccessLog{}
	for n := range ids {
		log[numbered(n+1)] = analyze.Access{Canary: true}
	}
	_, _, out := rejoin(t, run, log)
	if got := string(out); !strings.Contains(got, early) || strings.Contains(got, late) || !strings.Contains(got, unknown) {
		t.Errorf("early look %v, late one %v, unknown kind %v", strings.Contains(got, early), strings.Contains(got, late), strings.Contains(got, unknown))
	}
	if _, _, out := rejoin(t, run, nil); !bytes.Equal(out, run) {
		t.Error("with nothing known the run became another")
	}
}

// What the log does not know, or knows otherwise, stays as it was; a log that knows nothing changes no byte.
func TestJoinOfWhatTheLogDoesNotSay(t *testing.T) {
	run, ids, live := dead(t, false)
	a, j, out := rejoin(t, run, analyze.AccessLog{numbered(ids + 1): {Canary: true}})
	if j.Joined != (analyze.Joined{Missing: ids}) || !bytes.Equal(out, run) || marshal(t, a) != marshal(t, live) {
		t.Errorf("nothing known: %+v, same file %v", j.Joined, bytes.Equal(out, run))
	}
}

func TestAttribute(t *testing.T) {
	hit := func(cause attack.Cause, class attack.Class) attack.Window {
		tally := &attack.Tally{Hits: 1}
		if class != "" {
			tally.Errors = map[attack.Class]uint64{class: 1}
		} else {
			tally.Response.AddBin(7, 1)
			tally.Service.AddBin(5, 1)
		}
		w := attack.Window{Phase: analyze.During, Due: 1, Sent: 1, Hits: 1, Answers: attack.Answers{
			Unattributed: map[attack.Cause]*attack.Tally{cause: tally}, IDs: []attack.Anonymous{{ID: numbered(1), Cause: cause, Class: class}}}}
		if class == "" {
			w.IDs[0].Response, w.IDs[0].Service = 7, 5
		}
		return w
	}
	named := analyze.Target{Baseline: "1", Canary: "2"}
	none := analyze.Target{}
	in := func(phase string, w attack.Window) attack.Window { w.Phase = phase; return w }
	for _, tc := range []struct {
		name   string
		window attack.Window
		target analyze.Target
		said   analyze.Access
		want   analyze.Joined
		arm    string
	}{
		{"the canary's", hit(attack.No5xx, attack.ServerError), named, analyze.Access{Canary: true, Status: 500}, analyze.Joined{Canary: 1}, "2"},
		{"the baseline's", hit(attack.No5xx, attack.ServerError), named, analyze.Access{Status: 502}, analyze.Joined{Baseline: 1}, "1"},
		{"no status", hit(attack.No504, attack.GatewayTime), named, analyze.Access{Canary: true}, analyze.Joined{Canary: 1}, "2"},
		{"a success", hit(attack.Unrecognised, ""), named, analyze.Access{Canary: true, Status: 200}, analyze.Joined{Canary: 1}, "2"},
		{"no patience here, answered there", hit(attack.NoTimeout, attack.Timeout), named, analyze.Access{Canary: true, Status: 200}, analyze.Joined{Canary: 1}, "2"},
		{"another status", hit(attack.No5xx, attack.ServerError), named, analyze.Access{Canary: true, Status: 200}, analyze.Joined{Other: 1}, ""},
		{"504 is not 500", hit(attack.No5xx, attack.ServerError), named, analyze.Access{Status: 504}, analyze.Joined{Other: 1}, ""},
		{"no versions named, canary", hit(attack.No5xx, attack.ServerError), none, analyze.Access{Canary: true}, analyze.Joined{Canary: 1}, "canary"},
		{"no versions named, baseline", hit(attack.No5xx, attack.ServerError), none, analyze.Access{}, analyze.Joined{Baseline: 1}, "baseline"},
		{"before the canary", in(analyze.Before, hit(attack.No5xx, attack.ServerError)), named, analyze.Access{}, analyze.Joined{}, ""},
		{"after it", in(analyze.After, hit(attack.No5xx, attack.ServerError)), named, analyze.Access{}, analyze.Joined{}, ""},
		{"plain load", in(analyze.Attack, hit(attack.No5xx, attack.ServerError)), named, analyze.Access{}, analyze.Joined{Baseline: 1}, "1"},
	} {
		was := marshal(t, tc.window)
		got, joined := analyze.Attribute(tc.window, tc.target, analyze.AccessLog{numbered(1): tc.said})
		if joined != tc.want || marshal(t, tc.window) != was {
			t.Errorf("%s: %+v, want %+v; the window became %s", tc.name, joined, tc.want, marshal(t, tc.window))
		}
		if tc.arm == "" && marshal(t, got) != was {
			t.Errorf("%s: %s", tc.name, marshal(t, got))
		}
		if arm := got.Arms[tc.arm]; tc.arm != "" && (arm == nil || arm.Hits != 1 || len(got.Unattributed)+len(got.IDs) != 0) {
			t.Errorf("%s: %s", tc.name, marshal(t, got))
		}
	}
}

// Whatever a window holds and a log says, hits move and nothing else does.
func FuzzAttribute(f *testing.F) {
	run, _, _ := dead(f, false)
	for i, line := range bytes.Split(run, []byte("\n")) {
		if bytes.Contains(line, []byte(`"ids"`)) && len(line) < 2000 {
			f.Add(uint64(i%3), line)
		}
	}
	f.Fuzz(func(t *testing.T, every uint64, line []byte) {
		if len(line) > 4000 {
			return
		}
		file := append([]byte(head), line...)
		err := analyze.Read(bytes.NewReader(file), func(r analyze.Record) error {
			if r.Window != nil {
				conserved(t, *r.Window, every)
			}
			return nil
		})
		if err != nil {
			return
		}
	})
}

func conserved(t *testing.T, w attack.Window, every uint64) {
	log := analyze.AccessLog{}
	know := func(a attack.Answers) {
		for i, h := range a.IDs {
			if n := uint64(i); every == 0 || n%every == 0 {
				log[h.ID] = analyze.Access{Canary: n%2 == 0, Status: int(every % 600)}
			}
		}
	}
	know(w.Answers)
	for _, l := range w.Late {
		know(l.Answers)
	}
	was := marshal(t, w)
	got, joined := analyze.Attribute(w, analyze.Target{Baseline: "1", Canary: "2"}, log)
	if marshal(t, w) != was {
		t.Fatal("attributing changed what was given")
	}
	if joined.Moved() == 0 && marshal(t, got) != was {
		t.Fatalf("%+v: %s, from %s", joined, marshal(t, got), was)
	}
	bare := func(w attack.Window) string {
		w.Answers, w.Late = attack.Answers{}, slices.Clone(w.Late)
		for i := range w.Late {
			w.Late[i].Answers = attack.Answers{}
		}
		return marshal(t, w)
	}
	if bare(got) != bare(w) || sums(got.Answers) != sums(w.Answers) {
		t.Fatalf("%s, from %s", marshal(t, got), was)
	}
	left := len(got.IDs)
	for i, l := range got.Late {
		left += len(l.IDs)
		if sums(l.Answers) != sums(w.Late[i].Answers) {
			t.Fatalf("late: %s, from %s", marshal(t, got), was)
		}
	}
	if uint64(left) != joined.Missing+joined.Other && joined != (analyze.Joined{}) {
		t.Fatalf("%d ids left of %+v", left, joined)
	}
	if every == 0 && joined.Missing > 0 {
		t.Fatalf("all are known, but %d are missing", joined.Missing)
	}
	text := marshal(t, analyze.Record{Window: &got})
	if err := analyze.Read(strings.NewReader(head+text+"\n"), func(analyze.Record) error { return nil }); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// sums is all that adds, whoever's it is.
func sums(a attack.Answers) (sum [4]uint64) {
	add := func(t *attack.Tally) {
		for i, n := range []uint64{t.Hits, t.Failed(), t.Response.Total(), t.Service.Total()} {
			sum[i] += n
		}
	}
	for _, t := range a.Arms {
		add(t)
	}
	for _, t := range a.Unattributed {
		add(t)
	}
	return sum
}

// A file of before there were ids is read as ever, and asks nothing of any log.
func TestSeekWithoutIDs(t *testing.T) {
	run := smallRun(t)
	s, err := analyze.Seek(bytes.NewReader(run))
	if err != nil || len(s.IDs) != 0 || s.Header.Plan.RequestIDs || !s.First.IsZero() {
		t.Errorf("%v: %+v", err, s)
	}
	if _, j, out := rejoin(t, run, nil); j.Joined != (analyze.Joined{}) || !bytes.Equal(out, run) {
		t.Errorf("%+v", j.Joined)
	}
	if _, err := analyze.Seek(bytes.NewReader(run[:len(run)-5])); err != nil {
		t.Errorf("cut off: %v", err)
	}
	if _, err := analyze.Seek(strings.NewReader("")); err == nil {
		t.Error("an empty file was read")
	}
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
