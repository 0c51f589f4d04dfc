package emulator

import (
	"maps"
	"strings"
)

// applyCanary is UpdateStage below /canarySettings. A replace creates the canary when there is none, without a word: it begins
// with the stage's own deployment and 0 %.
func (s *stage) applyCanary(op patchOperation, leaf string, api *restAPI) error {
	variable, isOverride := strings.CutPrefix(leaf, "stageVariableOverrides/")
	known := isOverride && variable != "" || leaf == "percentTraffic" || leaf == "deploymentId" || leaf == "useStageCache"
	switch {
	case op.Op == "remove" && isOverride && s.CanarySettings != nil:
		delete(s.CanarySettings.Overrides, variable)
		return nil
	case op.Op != "replace" && known && !(op.Op == "remove" && isOverride):
		return op.invalidHere()
	case op.Op != "replace":
		return op.nothingToRemove()
	case !known:
		return op.unknownPath()
	}
	canary := s.CanarySettings
	if canary == nil {
		canary = &canarySettings{DeploymentID: s.DeploymentID}
	}
	var err error
	switch {
	case leaf == "percentTraffic":
		canary.PercentTraffic, err = op.decimal()
	case leaf == "useStageCache":
		canary.UseStageCache, err = op.boolean()
	case leaf == "deploymentId":
		canary.DeploymentID = op.Value
		if api.deploymentByID(op.Value) == nil {
			err = badRequest("Deployment id does not exist")
		}
	default:
		if canary.Overrides == nil {
			canary.Overrides = map[string]string{}
		}
		canary.Overrides[variable] = op.Value
	}
	if err != nil {
		return err
	}
	s.CanarySettings = canary
	return canary.validate()
}

// copy is what a promote is made of. Variables are merged: what the canary does not override stays.
func (s *stage) copy(op patchOperation) error {
	from := op.From == "/canarySettings/deploymentId" || op.From == "/canarySettings/stageVariableOverrides"
	to := op.Path == "/deploymentId" || op.Path == "/variables"
	if !from || !to || (op.Path == "/variables") != (op.From == "/canarySettings/stageVariableOverrides") {
		return badRequest("Invalid copy operation with path: %s and from %s. Valid copy:path are [/deploymentId, /variables] and valid copy:from are [/canarySettings/deploymentId, /canarySettings/stageVariableOverrides]", op.Path, op.From)
	}
	if s.CanarySettings == nil {
		return badRequest("Promotion not available. Canary does not exist.")
	}
	if op.Path == "/deploymentId" {
		s.DeploymentID = s.CanarySettings.DeploymentID
		return nil
	}
	if s.Variables == nil && len(s.CanarySettings.Overrides) > 0 {
		s.Variables = map[string]string{}
	}
	maps.Copy(s.Variables, s.CanarySettings.Overrides)
	return nil
}

func (c *canarySettings) validate() error {
	if p := c.PercentTraffic; !(p >= 0 && p <= 100) { // the range is documented, the text is not
		return badRequest("Invalid canary percentTraffic: must be between 0.0 and 100.0")
	}
	return validateVariables(c.Overrides)
}
