package scenarios

import (
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
)

// What is embedded can be run: it reads, it names itself, and it says how it must end.
func TestBuiltin(t *testing.T) {
	names := Builtin()
	for _, want := range []string{"products", "products-on-aws", "failing-canary", "slow-canary", "misrouted", "broken-permission", "hanging-canary", "wrong-version",
		"capacity-knee", "capacity-quota", "capacity-cold", "capacity-noisy"} {
		s, err := Open(want, true)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != want || s.Description == "" || len(s.Expect) == 0 || (s.Emulator == nil) != (want == "products-on-aws") {
			t.Errorf("%s: name %q, description %q, expects %v, emulator %v", want, s.Name, s.Description, s.Expect, s.Emulator)
		}
		if promises := s.Expect.Allows(analyze.Promote); promises != (strings.HasPrefix(want, "products") || s.Capacity != nil) {
			t.Errorf("%s may be promoted: %v", want, promises)
		}
	}
	if len(names) != 12 {
		t.Errorf("built-in: %v, want 12, each of them tried above", names)
	}
}

const least = `
name: x
before: {prod: 1}
canary: {percent: 10, overrides: {lambdaAlias: staging}}
`

// What a scenario leaves out has the defaults, which depend on where the load goes.
func TestDefaults(t *testing.T) {
	here, err := Read("x.yaml", []byte(least), true)
	if err != nil {
		t.Fatal(err)
	}
	there, err := Read("x.yaml", []byte(least), false)
	if err != nil {
		t.Fatal(err)
	}
	if here.Load.Rate != 1000 || there.Load.Rate != 50 || time.Duration(here.Policy.Settle) != 10*time.Second || time.Duration(there.Policy.Settle) != 2*time.Minute {
		t.Errorf("rates %v and %v, settle %v and %v", here.Load.Rate, there.Load.Rate, here.Policy.Settle, there.Policy.Settle)
	}
	if here.Target.Stage != "prod" || here.Target.Method != "GET" || !here.Canary.Deploy || here.Before["prod"] != "1" {
		t.Errorf("%+v", here)
	}
	if here.Policy.Split.Margin != 3 { // min(3, 0.4 x 10)
		t.Errorf("margin %v, want 3", here.Policy.Split.Margin)
	}
	if here.Act != (Act{Hold, Hold, Hold}) {
		t.Errorf("acts %v: nothing is done that was not asked for", here.Act)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, tc := range []struct{ text, says string }{
		{"name: x\ncanery: {}\n", `x.yaml:2: unknown key "canery" (nearest known: "canary")`},
		{"name: x\nload: {rate: fast}\n", "x.yaml:2: load.rate: want a number"},
		{"name: x\nload: {timeout: 5}\n", "x.yaml:2: load.timeout: want a duration"},
		{"name: x\nact: {reject: explode}\n", "x.yaml:2: act.reject: want hold, promote or rollback"},
		{"name: x\nexpect-verdict: perhaps\n", "x.yaml:2: expect-verdict: want promote, reject or inconclusive"},
		{"name: x\nemulator:\n  versions: {\"2\": {errors: 5}}\n", "x.yaml:3: emulator.versions.2.errors:"},
		{strings.Replace(least, "percent: 10", "percent: 0", 1), "canary.percent: want more than 0 and less than 100, got 0"},
		{strings.Replace(least, "percent: 10", "percent: 100", 1), "canary.percent: want more than 0 and less than 100, got 100"},
		{strings.Replace(least, "{prod: 1}", "{dev: 3}", 1), "before: want the version that stage prod answers with"},
		{strings.Replace(least, "{lambdaAlias: staging}", "{}", 1), "canary.overrides: missing"},
		{least + "act: {inconclusive: promote}\n", "act: a promote verdict is promoted or held"},
		{least + "policy: {split: {margin: 12}}\n", "split.margin: 12 points around 10 % reach -2 to 22 %"},
		{least + "classify: [colour:red]\n", "classify:"},
		{least + "target: {method: get}\n", "target.method: want one like GET"},
		{least + "load: {body: x}\n", "load.body: want a target.method that has one, like POST, got \"GET\""},
		{least + "load: {targets: [{path: /a}, {path: b}]}\n", "load.targets[1]: path: want one that begins with a slash, got \"b\""},
		{least + "load: {targets: [{path: /a, body: x}]}\n", "load.targets[0]: body: want a method that has one"},
		{least + "load: {targets: [{path: /a, wieght: 3}]}\n", "unknown key \"wieght\" (nearest known: \"weight\")"},
		{least + "load: {targets: [{path: /a, weight: -3}]}\n", "load.targets[0]: weight: want 1 or more"},
		{least + "load: {body: x, targets: [{path: /a}]}\ntarget: {method: POST}\n", "load.body: want it in load.targets"},
		{least + "emulator: {versions: {\"2\": {errors: 80%, crashes: 80%}}}\n", "emulator:"},
		{least + "act: {promote: promote}\nbake: 8s\n", "bake: want more than settle, 10s, until which the baseline may still answer, got 8s"},
		{least + "act: {promote: promote}\nbake: 12s\nload: {rate: 10}\n", "bake: want 53s or more, in which 10/s are the 528 requests that it takes to prove anything at alpha 0.01, got 12s"},
		{"", "name: missing"},
	} {
		if _, err := Read("x.yaml", []byte(tc.text), true); err == nil || !strings.HasPrefix(err.Error(), "x.yaml:") || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: %v, want %q", tc.text, err, tc.says)
		}
	}
}

func TestExpected(t *testing.T) {
	var e Expected
	if err := e.UnmarshalText([]byte("reject or inconclusive")); err != nil {
		t.Fatal(err)
	}
	if e.Allows(analyze.Promote) || !e.Allows(analyze.Reject) || !e.Allows(analyze.Inconclusive) || !(Expected(nil)).Allows(analyze.Promote) {
		t.Errorf("%v", e)
	}
}
