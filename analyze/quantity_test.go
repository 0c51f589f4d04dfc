package analyze_test

import (
	"encoding"
	"fmt"
	"testing"
	"time"

	"coalmine/analyze"
)

// quantity is read, written and read again: what a run file holds is what was judged by.
func quantity[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](t *testing.T, text, want string) {
	t.Helper()
	var got, again T
	err := P(&got).UnmarshalText([]byte(text))
	if want == "" {
		if err == nil {
			t.Errorf("%q is read as %v, want an error", text, got)
		}
		return
	}
	if err != nil || fmt.Sprint(got) != want {
		t.Errorf("%q is read as %v, %v; want %s", text, got, err, want)
		return
	}
	written, err := any(got).(encoding.TextMarshaler).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if err := P(&again).UnmarshalText(written); err != nil || any(again) != any(got) {
		t.Errorf("%q is written %q and reads back as %v, %v", text, written, again, err)
	}
}

func TestQuantities(t *testing.T) {
	for text, want := range map[string]string{"1%": "1%", " 0.5 % ": "0.5%", "0%": "0%", "100%": "100%", "0.1234567891%": "0.123456789%", "1e-3%": "0.001%",
		"33.3333333333333%": "33.333333333%", "100.1%": "", "-1%": "", "1": "", "": "", "%": "", "NaN%": "", "inf%": "", "1%%": "", "one%": ""} {
		quantity[analyze.Percentage](t, text, want)
	}
	for text, want := range map[string]string{"1m30s": "1m30s", "0s": "0s", "250ms": "250ms", "1h": "1h0m0s", "-1s": "", "5": "", "": "", "1 s": "", "1e9s": "", "9999999h": ""} {
		quantity[analyze.Duration](t, text, want)
	}
	for text, want := range map[string]string{"p95": "p95", "p99.9": "p99.9", "p99.99": "p99.99", "p1": "p1", "p50": "p50", "p99.123456789123": "",
		"p0": "", "p100": "", "p0.99": "", "95": "", "P95": "", "pNaN": "", "p": "", "p-5": ""} {
		if text == "p99.123456789123" {
			want = "p99.123456789"
		}
		quantity[analyze.Quantile](t, text, want)
	}
	for text, want := range map[string]string{"10%": "10%", "1ms": "1ms", "10% or 1ms": "10% or 1ms", "1ms or 10%": "10% or 1ms", "1000%": "1000%",
		"0%": "", "0s": "", "-1ms": "", "1001%": "", "10% or 20%": "", "1ms or 2ms": "", "10% or 1ms or 2ms": "", "": "", "ten": "", "NaN%": "", "10%,1ms": ""} {
		quantity[analyze.Slack](t, text, want)
	}
	if d := analyze.Duration(1500 * time.Millisecond); d.String() != "1.5s" {
		t.Errorf("1500 ms are written %s", d)
	}
}

func TestVerdictWords(t *testing.T) {
	for _, v := range []analyze.Verdict{analyze.Inconclusive, analyze.Promote, analyze.Reject} {
		text, _ := v.MarshalText()
		var back analyze.Verdict = -1
		if err := back.UnmarshalText(text); err != nil || back != v {
			t.Errorf("%s reads back as %s, %v", text, back, err)
		}
	}
	for _, o := range []analyze.Outcome{analyze.Undecided, analyze.Pass, analyze.Fail} {
		text, _ := o.MarshalText()
		var back analyze.Outcome = -1
		if err := back.UnmarshalText(text); err != nil || back != o {
			t.Errorf("%s reads back as %s, %v", text, back, err)
		}
	}
	var v analyze.Verdict
	var o analyze.Outcome
	if v.UnmarshalText([]byte("promote")) == nil || o.UnmarshalText([]byte("PASS")) == nil {
		t.Error("a verdict in small letters or an outcome in capitals is read")
	}
}

func TestWords(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{analyze.Count(0), "0"}, {analyze.Count(999), "999"}, {analyze.Count(8312), "8,312"}, {analyze.Count(1234567), "1,234,567"},
		{analyze.Share(0), "0 %"}, {analyze.Share(0.5), "50.0 %"}, {analyze.Share(0.0123), "1.23 %"}, {analyze.Share(0.00012), "0.012 %"},
		{analyze.Short(0), "0s"}, {analyze.Short(1234567), "1.23ms"}, {analyze.Short(12345678), "12.3ms"}, {analyze.Short(123456789), "123ms"},
		{analyze.Short(90 * time.Second), "1m30s"}, {analyze.Short(3 * time.Hour), "3h0m0s"}, {analyze.Short(59999 * time.Millisecond), "1m0s"},
		{analyze.Check{Unit: analyze.UnitRatio}.Format(-0.0315), "-3.15 %"}, {analyze.Check{Unit: analyze.UnitPoints}.Format(0.5), "0.50 pp"},
		{analyze.Check{Unit: analyze.UnitTime}.Format(1e300), "any time"}, {analyze.Check{Unit: analyze.UnitCount}.Format(-1), "0"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}
