package stage

import (
	"strings"
	"testing"
)

// Only a stage that a tag says somebody manages has drifted.
func TestDrift(t *testing.T) {
	before := position{State: State{Stage: "prod", Canary: &Canary{}}}
	for tag, says := range map[string]string{"team": "", "aws:cloudformation:stack-name": "CloudFormation manages (tag aws:cloudformation:stack-name=x)"} {
		after := position{State: State{Stage: "prod", Tags: map[string]string{tag: "x"}}}
		if got := strings.Join(drift(before, after), "\n"); says == "" && got != "" || !strings.Contains(got, says) {
			t.Errorf("%s: %q, want %q", tag, got, says)
		}
	}
}
