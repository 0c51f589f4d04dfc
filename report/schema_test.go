package report_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
	"coalmine/report"
)

func published(t *testing.T) (text []byte, schema *jsonschema.Schema) {
	t.Helper()
	var out bytes.Buffer
	if err := report.Schema(&out); err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("report.json", parsed); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), compiler.MustCompile("report.json")
}

// The reports are what their schema says, and other things are not.
func TestSchema(t *testing.T) {
	_, schema := published(t)
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	valid := func(text []byte) error {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(value)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	promote, err := os.ReadFile("testdata/promote.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range [][2]string{{`"verdict": "PROMOTE"`, `"verdict": "MAYBE"`}, {`"percent": 50`, `"percent": 500`}, {`"outcome": "pass"`, `"outcome": true`}, {`"end"`, `"fin"`}} {
		if valid(bytes.Replace(promote, []byte(tc[0]), []byte(tc[1]), 1)) == nil {
			t.Errorf("%s is valid", tc[1])
		}
	}
}

// Every key that a report can have is in its schema, with a description.
func TestSchemaComplete(t *testing.T) {
	text, _ := published(t)
	var schema struct {
		Defs map[string]struct {
			Properties map[string]struct {
				Description string `json:"description"`
				Ref         string `json:"$ref"`
				Items       any    `json:"items"`
			} `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{"analysis": analyze.Analysis{}, "header": analyze.Header{}, "target": analyze.Target{}, "plan": analyze.Plan{},
		"conclusion": analyze.Conclusion{}, "check": analyze.Check{}, "interval": analyze.Interval{}, "phase": analyze.Phase{}, "traffic": analyze.Phase{},
		"capacity": analyze.Rated{}, "rating": analyze.Rating{}, "trial": analyze.TrialReport{}, "trial_arm": analyze.TrialArm{}, "arm_rates": analyze.ArmRates{},
		"capacity_plan": capacity.Plan{}, "capacity_result": capacity.Result{}, "bound": capacity.Bound{}, "record": analyze.Record{},
		"arm": analyze.Arm{}, "lateness": analyze.Lateness{}, "propagation": analyze.Propagation{}, "event": analyze.Event{}, "end": analyze.End{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(value)) {
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key == "-" || field.Anonymous || !field.IsExported() {
				continue
			}
			if p, ok := schema.Defs[name].Properties[key]; !ok || p.Description == "" && p.Ref == "" && p.Items == nil {
				t.Errorf("report/schema.json: $defs.%s has no description of %q", name, key)
			}
		}
	}
}
