package emulator

import (
	"encoding/json"
	"maps"
	"testing"
)

// canaried is what a stage says that matters to a canary, with the deployments as the tables call them.
type canaried struct {
	deployment string
	variables  map[string]string
	canary     *canary // nil: none
}

type canary struct {
	deployment string
	percent    float64
	overrides  map[string]string
	cache      bool
}

func (c *conformer) read(stage string) canaried {
	c.Helper()
	var st struct {
		DeploymentID   string
		Variables      map[string]string
		CanarySettings *canarySettings
	}
	_, _, body := c.ask(get("/restapis/API/stages/" + stage))
	c.must(json.Unmarshal([]byte(body), &st))
	is := canaried{st.DeploymentID, st.Variables, nil}
	if s := st.CanarySettings; s != nil {
		is.canary = &canary{s.DeploymentID, float64(s.PercentTraffic), s.Overrides, s.UseStageCache}
	}
	return is
}

func (a canaried) equal(b canaried) bool {
	if a.deployment != b.deployment || !maps.Equal(a.variables, b.variables) || (a.canary == nil) != (b.canary == nil) {
		return false
	}
	x, y := a.canary, b.canary
	return x == nil || x.deployment == y.deployment && x.percent == y.percent && x.cache == y.cache && maps.Equal(x.overrides, y.overrides)
}

func alias(name string) map[string]string { return map[string]string{"lambdaAlias": name} }

// TestCanary follows a stage through aws.md 2.2, 2.5 and 2.6. Each step begins with what the one before it left.
func TestCanary(t *testing.T) {
	c := conforming(t)
	const stage = "prod"
	deploy := func(body string) []request { return []request{post("/restapis/API/deployments", body)} }
	patch := func(ops ...string) []request { return []request{update(stage, ops...)} }
	kept := map[string]string{"lambdaAlias": "staging", "kept": "yes"}
	for _, step := range []struct {
		evidence
		name string
		do   []request
		want canaried
	}{
		// 2.2
		{recorded, "create canary: both releases have one deployment", patch("replace /canarySettings/percentTraffic 50.0",
			"replace /canarySettings/useStageCache false", "replace /canarySettings/stageVariableOverrides/lambdaAlias staging"),
			canaried{"FIRST", alias("prod"), &canary{"FIRST", 50, alias("staging"), false}}},
		{recorded, "remove: stage and variables were never touched", patch("remove /canarySettings"), canaried{"FIRST", alias("prod"), nil}},
		{recorded, "a percent alone makes a canary", patch("replace /canarySettings/percentTraffic 10.5"),
			canaried{"FIRST", alias("prod"), &canary{"FIRST", 10.5, nil, false}}},
		{recorded, "(removed)", patch("remove /canarySettings"), canaried{"FIRST", alias("prod"), nil}},
		{recorded, "a deployment alone makes a canary of 0 %", patch("replace /canarySettings/deploymentId SECOND"),
			canaried{"FIRST", alias("prod"), &canary{"SECOND", 0, nil, false}}},
		{recorded, "an override is made by replacing it", patch("replace /canarySettings/stageVariableOverrides/lambdaAlias staging", "replace /canarySettings/stageVariableOverrides/extra x"),
			canaried{"FIRST", alias("prod"), &canary{"SECOND", 0, map[string]string{"lambdaAlias": "staging", "extra": "x"}, false}}},
		{documented, "one override goes", patch("remove /canarySettings/stageVariableOverrides/extra"),
			canaried{"FIRST", alias("prod"), &canary{"SECOND", 0, alias("staging"), false}}},
		{documented, "deploying to the canary by a patch keeps percent and overrides", patch("replace /canarySettings/percentTraffic 40", "replace /canarySettings/deploymentId FIRST"),
			canaried{"FIRST", alias("prod"), &canary{"FIRST", 40, alias("staging"), false}}},
		{recorded, "deploying to the canary by CreateDeployment overwrites both, and leaves the stage", deploy(`{"stageName":"prod","canarySettings":{"percentTraffic":50,"stageVariableOverrides":{"lambdaAlias":"dev"}}}`),
			canaried{"FIRST", alias("prod"), &canary{"THIRD", 50, alias("dev"), false}}},
		{unverified, "overrides that CreateDeployment does not send are gone, a percent is 0", deploy(`{"stageName":"prod","canarySettings":{"useStageCache":true}}`),
			canaried{"FIRST", alias("prod"), &canary{"FOURTH", 0, nil, true}}},

		// 2.5
		{recorded, "a variable is made by replacing it", patch("replace /variables/kept yes", "replace /canarySettings/deploymentId SECOND",
			"replace /canarySettings/useStageCache false", "replace /canarySettings/percentTraffic 50", "replace /canarySettings/stageVariableOverrides/lambdaAlias staging"),
			canaried{"FIRST", map[string]string{"lambdaAlias": "prod", "kept": "yes"}, &canary{"SECOND", 50, alias("staging"), false}}},
		{recorded, "promote: the deployment moves, variables are merged, the canary stays at 0 %", patch(promote...),
			canaried{"SECOND", kept, &canary{"SECOND", 0, alias("staging"), false}}},
		{recorded, "promote again: the same", patch(promote...), canaried{"SECOND", kept, &canary{"SECOND", 0, alias("staging"), false}}},
		{recorded, "remove after a promote", patch("remove /canarySettings"), canaried{"SECOND", kept, nil}},
		{thirdParty, "a plain deployment goes again", deploy(`{"stageName":"prod"}`), canaried{"FIFTH", kept, nil}},

		// 2.6
		{thirdParty, "undo", patch("replace /deploymentId FIRST", "replace /variables/lambdaAlias prod", "remove /variables/kept"),
			canaried{"FIRST", alias("prod"), nil}},
		{recorded, "a promote of no canary leaves a stray one", patch(promote...), canaried{"FIRST", alias("prod"), &canary{"FIRST", 0, nil, false}}},
		{documented, "operations apply in their order", patch("remove /canarySettings", "replace /deploymentId SECOND", "replace /canarySettings/percentTraffic 5",
			"replace /variables/a x", "replace /variables/a y", "remove /variables/lambdaAlias"),
			canaried{"SECOND", map[string]string{"a": "y"}, &canary{"SECOND", 5, nil, false}}},
	} {
		fact(t, step.evidence, step.name, func(t *testing.T) {
			for _, r := range step.do {
				status, kind, body := c.ask(r)
				if status >= 300 {
					t.Fatalf("%s %s: %d %s %s", r.method, r.path, status, kind, body)
				}
				if r.method == "POST" {
					var made struct{ ID string }
					c.must(json.Unmarshal([]byte(body), &made))
					c.learn(made.ID)
				}
			}
			if got := c.read(stage); !got.equal(step.want) {
				t.Errorf("got  %+v, canary %+v\nwant %+v, canary %+v", got, got.canary, step.want, step.want.canary)
			}
		})
	}
}

// TestCanaryByCreateStage: with settings of its own, and with those that are filled in.
func TestCanaryByCreateStage(t *testing.T) {
	c := conforming(t)
	for _, test := range []struct {
		evidence
		name, settings string
		want           *canary
	}{
		{recorded, "a deployment of its own", `{"deploymentId":"SECOND","percentTraffic":50,"stageVariableOverrides":{"lambdaAlias":"staging"}}`, &canary{"SECOND", 50, alias("staging"), false}},
		{unverified, "the stage's deployment", `{"percentTraffic":50,"useStageCache":true}`, &canary{"FIRST", 50, nil, true}},
		{sdk, "nothing that the SDK leaves out", `{}`, &canary{"FIRST", 0, nil, false}},
	} {
		fact(t, test.evidence, test.name, func(t *testing.T) {
			c.ask(remove("/restapis/API/stages/tried"))
			c.ask(post("/restapis/API/stages", `{"stageName":"tried","deploymentId":"FIRST","canarySettings":`+test.settings+`}`))
			if got := c.read("tried"); !got.equal(canaried{"FIRST", nil, test.want}) {
				t.Errorf("got %+v, canary %+v, want %+v", got, got.canary, test.want)
			}
		})
	}
}

// TestPatchIsAtomic: a list that fails halfway changes nothing, not even what requests see.
func TestPatchIsAtomic(t *testing.T) {
	c := conforming(t)
	fact(t, unverified, "all or nothing", func(t *testing.T) {
		before := c.read("prod")
		status, _, body := c.ask(update("prod", "replace /variables/lambdaAlias dev", "replace /canarySettings/percentTraffic 50", "replace /nothing x"))
		if status != 400 {
			t.Fatalf("an unknown path was taken: %s", body)
		}
		if after := c.read("prod"); !after.equal(before) {
			t.Errorf("half a patch was applied: %+v", after)
		}
		if got := c.versions("prod", 5); got["1"] != 5 {
			t.Errorf("prod answers %v", got)
		}
	})
}
