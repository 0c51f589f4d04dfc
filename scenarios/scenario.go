// Package scenarios tells a canary's whole story: before, canary, during, act, after. It is the only place that
// decides what is done about a verdict; package stage does it.
package scenarios

import (
	"embed"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/strict"
	"coalmine/attack"
	"coalmine/scenarios/emulator"
)

//go:embed builtin/*.yaml
var builtin embed.FS

// Scenario is a story as its file tells it.
type Scenario struct {
	Name        string            `yaml:"name"`
	Description string            `yaml:"description"`
	Expect      Expected          `yaml:"expect-verdict"` // what tests and the last line hold it to
	Target      Target            `yaml:"target"`
	Before      map[string]string `yaml:"before"` // stage: the version that must answer, and nothing else
	Canary      Canary            `yaml:"canary"`
	Load        Load              `yaml:"load"`
	Classify    []string          `yaml:"classify"` // none: learned by asking each stage of before
	Answers     attack.Expect     `yaml:"expect"`   // what is not an error
	Policy      analyze.Policy    `yaml:"policy"`
	Act         Act               `yaml:"act"`
	Bake        analyze.Duration  `yaml:"bake"`     // the canary at 100 %, judged, before it is promoted; 0: none
	Then        Then              `yaml:"then"`     // after a promote: leave or repoint; on AWS one has to be said
	Capacity    *Answer           `yaml:"capacity"` // what coalmine capacity asks of the embedded system
	Emulator    *emulator.Faults  `yaml:"emulator"` // how the embedded system misbehaves; refused elsewhere
}

// Target is the method under test.
type Target struct {
	API    string `yaml:"api"` // id or name; "products", the demonstration system
	Stage  string `yaml:"stage"`
	Path   string `yaml:"path"`
	Method string `yaml:"method"`
}

// Canary is the canary to make.
type Canary struct {
	Percent   float64           `yaml:"percent"` // of the stage's traffic, above 0 and below 100
	Overrides map[string]string `yaml:"overrides"`
	Deploy    bool              `yaml:"deploy"`  // give it a deployment of its own
	Version   string            `yaml:"version"` // that must answer; the one behind the override's alias
}

// Load is the traffic.
type Load struct {
	Rate        float64           `yaml:"rate"` // per second
	Connections int               `yaml:"connections"`
	Timeout     analyze.Duration  `yaml:"timeout"`
	MaxRequests uint64            `yaml:"max-requests"` // of the whole story, the answers it learns from included; 0: no limit
	RequestIDs  bool              `yaml:"request-ids"`  // a UUID with each request, for a join with the access log
	Body        string            `yaml:"body"`         // of each request
	Headers     map[string]string `yaml:"headers"`      // of each request
	Targets     []LoadTarget      `yaml:"targets"`      // several in place of the target's path, each judged on its own, too

	// With completes what is sent by what a file must not say: keys, signatures, where single hits are written.
	With func(*attack.Plan) `yaml:"-"`
}

// Act says what follows which verdict.
type Act struct {
	Promote      Action `yaml:"promote"`
	Reject       Action `yaml:"reject"`
	Inconclusive Action `yaml:"inconclusive"`
}

// Action is what is done about a verdict. Its zero value does nothing.
type Action string

const (
	Hold     Action = "hold"     // leave the canary as it is
	Promote  Action = "promote"  // make it production
	Rollback Action = "rollback" // remove it
)

// UnmarshalText reads hold, promote or rollback.
func (a *Action) UnmarshalText(text []byte) error {
	switch got := Action(text); got {
	case Hold, Promote, Rollback:
		*a = got
		return nil
	}
	return fmt.Errorf("want hold, promote or rollback, got %q", text)
}

// Expected is the verdict that a scenario promises: "promote", or several, "reject or inconclusive".
type Expected []analyze.Verdict

// UnmarshalText reads verdicts joined by "or".
func (e *Expected) UnmarshalText(text []byte) error {
	*e = nil
	for _, name := range strings.Split(string(text), " or ") {
		var v analyze.Verdict
		if err := v.UnmarshalText([]byte(strings.ToUpper(strings.TrimSpace(name)))); err != nil || v > analyze.Reject {
			return fmt.Errorf("want promote, reject or inconclusive, or some of them joined by \"or\", got %q", text)
		}
		*e = append(*e, v)
	}
	return nil
}

// Allows reports whether the scenario may end so; one that promises nothing may end in any way.
func (e Expected) Allows(v analyze.Verdict) bool { return len(e) == 0 || slices.Contains(e, v) }

// Builtin names the scenarios that anyone can run by name.
func Builtin() []string {
	entries, err := builtin.ReadDir("builtin")
	if err != nil {
		panic(err) // they are part of the binary
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), ".yaml")
	}
	return names
}

// Open reads a built-in scenario by its name, or a file: what contains a slash or ends in .yaml.
func Open(nameOrFile string, loopback bool) (Scenario, error) {
	if strings.Contains(nameOrFile, "/") || strings.HasSuffix(nameOrFile, ".yaml") || strings.HasSuffix(nameOrFile, ".yml") {
		data, err := os.ReadFile(nameOrFile)
		if err != nil {
			return Scenario{}, fmt.Errorf("scenario: %w", err)
		}
		return Read(nameOrFile, data, loopback)
	}
	data, err := builtin.ReadFile(path.Join("builtin", nameOrFile+".yaml"))
	if err != nil {
		return Scenario{}, fmt.Errorf("unknown scenario %q: want one of %s, or a file (a path with a slash, or ending in .yaml)",
			nameOrFile, strings.Join(Builtin(), ", "))
	}
	return Read(nameOrFile+".yaml", data, loopback)
}

// Read reads a scenario; what it leaves out has the defaults of a target on loopback or elsewhere.
func Read(file string, data []byte, loopback bool) (Scenario, error) {
	s := Scenario{
		Target: Target{API: "products", Stage: "prod", Path: "/products", Method: http.MethodGet},
		Canary: Canary{Deploy: true},
		Load:   Load{Rate: 50, Timeout: analyze.Duration(attack.DefaultTimeout)},
		Policy: analyze.DefaultPolicy(loopback),
		Act:    Act{Promote: Hold, Reject: Hold, Inconclusive: Hold},
	}
	if loopback {
		s.Load.Rate = 1000
	}
	if err := strict.Decode(file, data, &s); err != nil {
		return s, err
	}
	s.Policy = s.Policy.Complete(s.Canary.Percent / 100)
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// Validate names the first thing that cannot be done, and what could.
func (s Scenario) Validate() error {
	switch {
	case s.Name == "":
		return fmt.Errorf("name: missing")
	case !(s.Canary.Percent > 0 && s.Canary.Percent < 100):
		return fmt.Errorf("canary.percent: want more than 0 and less than 100, got %v", s.Canary.Percent)
	case len(s.Canary.Overrides) == 0:
		return fmt.Errorf("canary.overrides: missing: without an override the canary answers as the stage does")
	case s.Before[s.Target.Stage] == "":
		return fmt.Errorf("before: want the version that stage %s answers with before the canary", s.Target.Stage)
	case s.Canary.Version != "" && s.Canary.Version == s.Before[s.Target.Stage]:
		return fmt.Errorf("canary.version: %s is the version that stage %s answers with already", s.Canary.Version, s.Target.Stage)
	case !(s.Load.Rate > 0 && s.Load.Rate <= 1e6):
		return fmt.Errorf("load.rate: want more than 0 and at most 1000000 per second, got %v", s.Load.Rate)
	case s.Load.Connections < 0:
		return fmt.Errorf("load.connections: want 0 (up to %d) or more, got %d", attack.DefaultConnections, s.Load.Connections)
	case s.Load.Timeout <= 0:
		return fmt.Errorf("load.timeout: want more than 0, got %s", s.Load.Timeout)
	case s.Act.Promote == Rollback || s.Act.Reject == Promote || s.Act.Inconclusive == Promote:
		return fmt.Errorf("act: a promote verdict is promoted or held, any other is rolled back or held")
	case s.Bake < 0:
		return fmt.Errorf("bake: want 0 or more, got %s", s.Bake)
	case s.Bake > 0 && s.Act.Promote != Promote:
		return fmt.Errorf("bake: it comes before a promote: want act: {promote: promote}, or no bake")
	case s.Then == Repoint && s.Act.Promote != Promote:
		return fmt.Errorf("then: repoint comes after a promote: want act: {promote: promote}, or then: leave")
	case s.Load.MaxRequests > 0 && s.Load.MaxRequests <= s.fewest():
		return fmt.Errorf("load.max-requests: want 0 (no limit) or more than %d, of which the phases after the verdict keep %d, got %d",
			s.fewest(), s.fewest()/2, s.Load.MaxRequests)
	case s.Target.Method == "" || strings.Trim(s.Target.Method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return fmt.Errorf("target.method: want one like GET, got %q", s.Target.Method)
	case s.Load.Body != "" && (s.Target.Method == http.MethodGet || s.Target.Method == http.MethodHead):
		return fmt.Errorf("load.body: want a target.method that has one, like POST, got %q", s.Target.Method)
	case s.Load.Body != "" && len(s.Load.Targets) > 0:
		return fmt.Errorf("load.body: want it in load.targets, each target has its own")
	case !strings.HasPrefix(s.Target.Path, "/"):
		return fmt.Errorf("target.path: want a path that begins with a slash, got %q", s.Target.Path)
	}
	for i, t := range s.Load.Targets {
		if err := t.validate(); err != nil {
			return fmt.Errorf("load.targets[%d]: %w", i, err)
		}
	}
	if err := s.Capacity.validate(); err != nil {
		return fmt.Errorf("capacity.%w", err)
	}
	if s.Emulator != nil {
		if err := s.Emulator.Validate(); err != nil {
			return fmt.Errorf("emulator: %w", err)
		}
	}
	if len(s.Classify) > 0 {
		if _, err := attack.ParseClassifier(s.Classify); err != nil {
			return fmt.Errorf("classify: %w", err)
		}
	}
	if err := s.Policy.Validate(s.Canary.Percent / 100); err != nil {
		return err
	}
	return s.Policy.ValidateBake(time.Duration(s.Bake), s.Load.Rate)
}

// fewest are the requests without which nothing can be judged: for two phases before and up to the verdict as many as are
// kept for those after it.
func (s Scenario) fewest() uint64 {
	if s.Then == Repoint {
		return 4 * afterHits
	}
	return 2 * afterHits
}

// others are the stages of before but the tested one, in order.
func (s Scenario) others() []string {
	names := slices.Sorted(maps.Keys(s.Before))
	return slices.DeleteFunc(names, func(name string) bool { return name == s.Target.Stage })
}
