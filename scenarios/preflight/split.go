package preflight

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"coalmine/scenarios/stage"
)

func one(f Finding) []Finding { return []Finding{f} }

// canary wants something to judge.
func canary(f Facts, _ Plan) []Finding {
	switch {
	case f.ref.Weighted() && f.target.Canary == nil:
		return one(block(fmt.Sprintf("give another version a weight: aws lambda update-alias --function-name %s --name %s --routing-config AdditionalVersionWeights={VERSION=0.1}", f.ref.Function, f.ref.Alias),
			"alias %s sends all of its traffic to version %s", f.ref, orUnknown(f.target.BaselineVersion)))
	case f.ref.Weighted():
		return one(fine("alias %s sends %s%% of its traffic to version %s", f.ref, number(f.target.Share*100), f.target.CanaryVersion))
	case f.target.State.Canary == nil:
		return one(block("create one with coalmine canary create", "stage %s has no canary", f.target.State.Stage))
	}
	return one(fine("stage %s has a canary: %s", f.target.State.Stage, f.target.State.Canary))
}

// percent wants traffic on both sides.
func percent(f Facts, _ Plan) []Finding {
	share := number(f.target.Share * 100)
	switch {
	case f.target.Canary == nil:
		return one(unchecked("", "there is no canary"))
	case f.target.Share <= 0 || f.target.Share >= 1:
		return one(block("set the canary's percent above 0 and below 100", "the canary gets %s%% of the traffic: there is no split to compare across", share))
	}
	return one(fine("%s%% of the traffic goes to the canary", share))
}

// difference wants the two sides to be set up differently.
func difference(f Facts, _ Plan) []Finding {
	s := f.target.State
	switch {
	case f.target.Canary == nil:
		return one(unchecked("", "there is no canary"))
	case f.ref.Weighted():
		return one(fine("the alias's weights name two versions"))
	case s.Canary.DeploymentID == s.DeploymentID && maps.Equal(s.CanaryVariables(), s.Variables):
		return one(block("override a stage variable, or deploy to the canary: coalmine canary create, coalmine canary deploy",
			"the canary has the stage's own deployment and variables: there is nothing to compare"))
	case s.Canary.DeploymentID == s.DeploymentID:
		return one(fine("the canary overrides stage variables of the same deployment %s", s.DeploymentID))
	}
	return one(fine("deployment %s against %s", s.Canary.DeploymentID, s.DeploymentID))
}

// alias wants both sides to lead to something.
func alias(f Facts, _ Plan) []Finding {
	var all []Finding
	for _, side := range f.sides() {
		switch u := side.NotRead("GetAlias"); {
		case side.Missing && side.Alias != "":
			all = append(all, block(fmt.Sprintf("create it with aws lambda create-alias --function-name %s --name %s, or override with another", side.Function, side.Alias),
				"%s: function %s has no alias %s", side.arm, side.Function, side.Alias))
		case side.Missing:
			all = append(all, block("publish it, or correct the integration", "%s: there is no function %s", side.arm, side.Name()))
		case u != nil:
			all = append(all, block("grant lambda:GetAlias on "+side.Function, "%s: not checked which version alias %s is: %s", side.arm, side.Alias, u.Why))
		case side.Version == "":
			all = append(all, unchecked("", "the %s's version", side.arm))
		}
	}
	if all != nil {
		return all
	}
	var lead []string
	for _, side := range f.sides() {
		lead = append(lead, fmt.Sprintf("%s leads to version %s", side.Name(), side.Version))
	}
	return one(fine("%s", strings.Join(slices.Compact(lead), ", ")))
}

// versions wants answers that can be told apart.
func versions(f Facts, p Plan) []Finding {
	t := f.target
	if t.Canary == nil {
		return one(unchecked("", "there is no canary"))
	}
	if t.BaselineVersion == "" || t.CanaryVersion == "" {
		return one(unchecked("", "a version is not known, see alias"))
	}
	if t.Function != t.CanaryFunction || t.BaselineVersion != t.CanaryVersion {
		return one(fine("version %s against %s", t.CanaryVersion, t.BaselineVersion))
	}
	remedy := fmt.Sprintf("point one at another version: aws lambda update-alias --function-name %s", t.CanaryFunction)
	redeployed := t.State.Canary != nil && t.State.Canary.DeploymentID != t.State.DeploymentID
	switch {
	case redeployed && p.Labels:
		return one(warn("give --baseline and --canary values that differ between the deployments' answers",
			"both deployments lead to version %s of %s: only the deployments can differ", t.BaselineVersion, t.Function))
	case redeployed:
		return one(block(remedy+"; or, where the deployments' answers differ otherwise, name the values with --baseline and --canary",
			"both deployments lead to version %s of %s: versions cannot tell the arms apart", t.BaselineVersion, t.Function))
	case t.BaselineAlias == t.CanaryAlias:
		return one(block("override the stage variable that the integration's function name uses", "baseline and canary are the same: %s version %s", t.Function, t.BaselineVersion))
	}
	return one(block(remedy, "aliases %s and %s are both version %s of %s", orNone(t.BaselineAlias), orNone(t.CanaryAlias), t.BaselineVersion, t.Function))
}

// latest wants published versions: $LATEST becomes other code with every upload, and nothing that is measured says so. As
// the canary it would be promoted as whatever it is by then.
func latest(f Facts, p Plan) []Finding {
	var all []Finding
	for _, side := range f.sides() {
		if side.Version != "$LATEST" {
			continue
		}
		text := fmt.Sprintf("the %s is $LATEST of %s: it may change under test, and no one would notice", side.arm, side.Function)
		remedy := fmt.Sprintf("publish it, and have an alias lead there: aws lambda publish-version --function-name %s", side.Function)
		switch {
		case p.Promote && side.arm == "canary":
			all = append(all, block(remedy, "%s; what is promoted need not be what was judged", text))
		default:
			all = append(all, warn(remedy, "%s", text))
		}
	}
	if all != nil {
		return all
	}
	for _, side := range f.sides() {
		if side.Version == "" {
			return one(unchecked("", "the %s's version is not known, see alias", side.arm))
		}
	}
	return one(fine("no side is $LATEST, whose code may change"))
}

// weights wants each alias to be one version.
func weights(f Facts, _ Plan) []Finding {
	if f.ref.Weighted() {
		return one(fine("the alias's own split is what is judged"))
	}
	var all []Finding
	for _, side := range f.sides() {
		for _, version := range slices.Sorted(maps.Keys(side.Weights)) {
			all = append(all, block(fmt.Sprintf("end that split with aws lambda update-alias --function-name %s --name %s --routing-config AdditionalVersionWeights={}", side.Function, side.Alias),
				"alias %s splits its own traffic: %s%% of it goes to version %s", side.Name(), number(side.Weights[version]*100), version))
		}
	}
	if all == nil {
		return one(fine("no alias splits its own traffic"))
	}
	return all
}

// permission wants the API to be allowed to invoke both sides: without, every request there is an anonymous 500.
func permission(f Facts, _ Plan) []Finding {
	if f.ref.Weighted() {
		return one(unchecked("", "who invokes the alias is not known here"))
	}
	var all []Finding
	for _, side := range f.sides() {
		switch u := side.NotRead("GetPolicy"); {
		case side.Missing || side.AsRole:
		case u != nil:
			all = append(all, warn("grant lambda:GetPolicy on "+side.Function, "not checked whether the API may invoke %s: %s", side.Name(), u.Why))
		case side.Invocable != stage.Yes:
			all = append(all, block(f.addPermission(side.Side), "API Gateway may not invoke %s from this stage and method: its policy does not say so", side.Name()))
		}
	}
	if all == nil {
		return one(fine("API Gateway may invoke both functions"))
	}
	return all
}

func (f Facts) addPermission(s stage.Side) string {
	command := "grant it: aws lambda add-permission --function-name " + s.Function
	if s.Qualifier != "" {
		command += " --qualifier " + s.Qualifier
	}
	return command + " --statement-id apigateway --action lambda:InvokeFunction --principal apigateway.amazonaws.com"
}

// cache wants every answer to come from a version: a cached one comes from whichever answered first.
func cache(f Facts, _ Plan) []Finding {
	if f.ref.Weighted() {
		return one(unchecked("", "whether what invokes the alias caches is not known here"))
	}
	s, m := f.target.State, f.target.Method
	remedy := fmt.Sprintf("turn caching off for %s %s, or for the stage", m.Verb, m.Resource)
	switch {
	case !s.CacheEnabled:
		return one(fine("stage %s has no cache", s.Stage))
	case !m.Cached:
		return one(fine("stage %s has a cache, and this method is not cached", s.Stage))
	case s.Canary != nil && s.Canary.DeploymentID == s.DeploymentID:
		return one(block(remedy, "the stage's cache is on for this method, and canary and stage share a deployment: a cached answer comes from whichever version answered first"))
	}
	return one(block(remedy, "the stage's cache is on for this method: most answers come from the cache and tell nothing of a version"))
}

// side is one of the target's, with its name.
type side struct {
	stage.Side
	arm string
}

func (f Facts) sides() []side {
	all := []side{{f.target.Baseline, "baseline"}}
	if f.target.Canary != nil {
		all = append(all, side{*f.target.Canary, "canary"})
	}
	return all
}

// number is a quantity for a person: a percentage of a third is no sixteen digits.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}

func orUnknown(version string) string {
	if version == "" {
		return "(unknown)"
	}
	return version
}

func orNone(alias string) string {
	if alias == "" {
		return "(none)"
	}
	return alias
}
