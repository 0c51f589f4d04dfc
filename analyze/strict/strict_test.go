package strict_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coalmine/analyze/strict"
)

type even int

func (e *even) UnmarshalText(text []byte) error {
	if len(text)%2 > 0 {
		return errors.New("want an even number of letters")
	}
	*e = even(len(text))
	return nil
}

type inner struct {
	Wait time.Duration `yaml:"wait"`
	Deep *inner        `yaml:"deep"`
}

type inlined struct {
	Extra string `yaml:"extra"`
}

type document struct {
	Name    string           `yaml:"name"`
	Count   int              `yaml:"count"`
	Ratio   float64          `yaml:"ratio"`
	On      bool             `yaml:"on"`
	List    []inner          `yaml:"list"`
	Map     map[string]even  `yaml:"map"`
	Keyed   map[even]float64 `yaml:"keyed"`
	Inner   inner            `yaml:"inner"`
	inlined `yaml:"-"`
	Inlined inlined `yaml:",inline"`
	Hidden  string  `yaml:"-"`
}

func TestDecode(t *testing.T) {
	got := document{Name: "default", Count: 7}
	err := strict.Decode("f", []byte(`
count: ~
ratio: 0.5
on: true
list: [{wait: 1s}, {deep: {wait: 2s}}]
map: {a: ab, b: abcd}
inner: &x {wait: 3s}
extra: more
`), &got)
	want := document{Name: "default", Count: 7, Ratio: 0.5, On: true, List: []inner{{Wait: time.Second}, {Deep: &inner{Wait: 2 * time.Second}}},
		Map: map[string]even{"a": 2, "b": 4}, Inner: inner{Wait: 3 * time.Second}, Inlined: inlined{"more"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{})); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	var number document
	if err := strict.Decode("f", []byte("name: 2"), &number); err != nil || number.Name != "2" {
		t.Errorf("a number is as good a name as a text: %q, %v", number.Name, err)
	}
	for _, empty := range []string{"", "\n", "# a comment\n", "---\n", "~"} {
		if err := strict.Decode("f", []byte(empty), &document{}); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"name: a\nnmae: b", `f:2: unknown key "nmae" (nearest known: "name")`},
		{"zzzzzzzzzzzzzzzzzzzzzzzz: 1", `f:1: unknown key`},
		{"inner:\n  wiat: 1s", `f:2: unknown key "wiat" (nearest known: "wait")`},
		{"hidden: x", `f:1: unknown key "hidden"`},
		{"Name: x", `f:1: unknown key "Name" (nearest known: "name")`},
		{"name: a\nname: b", `f:2: key "name" stands twice`},
		{"keyed:\n  ab: 1\n  cd: 2", `f:3: key "cd" stands twice`},
		{"count: many", `f:1: count: want a whole number, got "many"`},
		{"ratio: '0.5'", `f:1: ratio: want a number, got "0.5"`},
		{"on: maybe", `f:1: on: want true or false, got "maybe"`},
		{"inner: {wait: soon}", `f:1: inner.wait: want a duration like "500ms", got "soon"`},
		{"map: {a: abc}", `f:1: map.a: want an even number of letters`},
		{"map: {a: [ab]}", `f:1: map.a: want one value, got a list`},
		{"name: [a]", `f:1: name: want one value, got a list`},
		{"list: {a: b}", `f:1: list: want a list, got a map`},
		{"list:\n  - wait: 1s\n  - wiat: 2s", `f:3: unknown key "wiat"`},
		{"map: text", `f:1: map: want keys and values, got a single value`},
		{"inner: 5", `f:1: inner: want keys and values, got a single value`},
		{"- a\n- b", `f:1: document: want keys and values, got a list`},
		{"name: a\n  count: 3", `f: line 2: mapping values`},
		{"name: {a", `f: line 1: did not find`},
		{"name: a\n\t- b", `f: line 2: `},
		{"name: *nowhere", `f: unknown anchor`},
		{"name: a\n---\nname: b", `f:2: a second document: want one`},
		{"name: a\n---\n{", `f:`},
	} {
		err := strict.Decode("f", []byte(tc.text), &document{})
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", tc.text, err, tc.want)
		}
	}
}
