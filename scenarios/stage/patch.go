package stage

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// Operation is one patch operation of UpdateStage. Values are always strings.
type Operation struct {
	Op    string `json:"op"` // replace, remove, copy
	Path  string `json:"path"`
	Value string `json:"value,omitempty"`
	From  string `json:"from,omitempty"`
}

const (
	canaryPath     = "/canarySettings"
	percentPath    = canaryPath + "/percentTraffic"
	canaryDeploy   = canaryPath + "/deploymentId"
	stageCachePath = canaryPath + "/useStageCache"
	overridesPath  = canaryPath + "/stageVariableOverrides"
	deploymentPath = "/deploymentId"
	variablesPath  = "/variables"
)

func replace(path, value string) Operation { return Operation{Op: "replace", Path: path, Value: value} }
func remove(path string) Operation         { return Operation{Op: "remove", Path: path} }

// wire gives the operations to the SDK. Zero percent is a string here, as
// everywhere: the SDK's typed inputs leave out a float64 that is zero.
func wire(ops []Operation) []types.PatchOperation {
	out := make([]types.PatchOperation, len(ops))
	for i, op := range ops {
		out[i] = types.PatchOperation{Op: types.Op(op.Op), Path: aws.String(op.Path)}
		if op.From != "" {
			out[i].From = aws.String(op.From)
		}
		if op.Op == "replace" {
			out[i].Value = aws.String(op.Value)
		}
	}
	return out
}

// with is the stage as it should be after the operations, by AWS's recorded
// behaviour: it is what every read-back is compared with. Only operations that
// this package sends are known.
func (s State) with(ops ...Operation) State {
	s = s.clone()
	for _, op := range ops {
		if strings.HasPrefix(op.Path, canaryPath) && op.Op == "replace" && s.Canary == nil {
			s.Canary = &Canary{DeploymentID: s.DeploymentID}
		}
		key := op.Path[strings.LastIndex(op.Path, "/")+1:]
		switch path := strings.TrimSuffix(op.Path, "/"+key); {
		case op.Path == canaryPath:
			s.Canary = nil
		case op.Path == percentPath:
			s.Canary.Percent, _ = strconv.ParseFloat(op.Value, 64)
		case op.Path == canaryDeploy:
			s.Canary.DeploymentID = op.Value
		case op.Path == stageCachePath:
			s.Canary.UseStageCache = op.Value == "true"
		case path == overridesPath && s.Canary != nil:
			s.Canary.Overrides = set(s.Canary.Overrides, key, op)
		case op.Path == deploymentPath && op.Op == "copy" && s.Canary != nil:
			s.DeploymentID = s.Canary.DeploymentID
		case op.Path == deploymentPath && op.Op == "replace":
			s.DeploymentID = op.Value
		case op.Path == variablesPath:
			s.Variables = s.CanaryVariables()
		case path == variablesPath:
			s.Variables = set(s.Variables, key, op)
		}
	}
	return s
}

// under is the stage as it was right before the operations, by what is there after them: what they set is as it was read,
// all else as it is found.
func (s State) under(after State, ops []Operation) State {
	s, is := s.clone(), after.clone()
	if s.Canary == nil {
		is.Canary = nil
	}
	for _, op := range ops {
		key := op.Path[strings.LastIndex(op.Path, "/")+1:]
		switch path := strings.TrimSuffix(op.Path, "/"+key); {
		case op.Path == canaryPath:
			is.Canary = s.Canary
		case op.Path == deploymentPath:
			is.DeploymentID = s.DeploymentID
		case op.Path == variablesPath:
			for _, key := range keys(s.overrides(), is.overrides()) {
				is.Variables = as(is.Variables, s.Variables, key)
			}
		case path == variablesPath:
			is.Variables = as(is.Variables, s.Variables, key)
		case is.Canary == nil:
		case op.Path == percentPath:
			is.Canary.Percent = s.Canary.Percent
		case op.Path == canaryDeploy:
			is.Canary.DeploymentID = s.Canary.DeploymentID
		case op.Path == stageCachePath:
			is.Canary.UseStageCache = s.Canary.UseStageCache
		case path == overridesPath:
			is.Canary.Overrides = as(is.Canary.Overrides, s.Canary.Overrides, key)
		}
	}
	return is
}

// without is the stage without what the operations set below this path.
func (s State) without(path string, ops []Operation) State {
	var undo []Operation
	for _, op := range ops {
		if strings.HasPrefix(op.Path, path+"/") {
			undo = append(undo, remove(op.Path))
		}
	}
	return s.with(undo...)
}

func (s State) overrides() map[string]string {
	if s.Canary == nil {
		return nil
	}
	return s.Canary.Overrides
}

// as is the map with a key as it was.
func as(m, was map[string]string, key string) map[string]string {
	if value, had := was[key]; had {
		return set(m, key, replace(key, value))
	}
	return set(m, key, remove(key))
}

func set(m map[string]string, key string, op Operation) map[string]string {
	m = maps.Clone(m)
	if op.Op == "remove" {
		delete(m, key)
		return m
	}
	if m == nil {
		m = map[string]string{}
	}
	m[key] = op.Value
	return m
}

// creating are the operations that create this canary on a stage that has
// none. The deployment comes first: it makes the canary at 0 %.
func creating(canary Canary) []Operation {
	ops := []Operation{
		replace(canaryDeploy, canary.DeploymentID),
		replace(stageCachePath, strconv.FormatBool(canary.UseStageCache)),
	}
	for _, key := range keys(canary.Overrides) {
		ops = append(ops, replace(overridesPath+"/"+key, canary.Overrides[key]))
	}
	return append(ops, replace(percentPath, percent(canary.Percent)))
}

// removing takes the canary away in two patches: no traffic first, which is
// the fast stop, then no canary.
func removing(s State) [][]Operation {
	var patches [][]Operation
	if s.Canary.Percent != 0 {
		patches = append(patches, []Operation{replace(percentPath, "0.0")})
	}
	return append(patches, []Operation{remove(canaryPath)})
}

// restoring are the patches that make the stage what it was. AWS documents
// that a stage with a canary cannot be given another deployment, so the canary
// goes first then, and comes back last.
func restoring(now, to State) [][]Operation {
	var patches [][]Operation
	if now.Canary != nil && (to.Canary == nil || now.DeploymentID != to.DeploymentID) {
		patches = removing(now)
		now.Canary = nil
	}
	var ops []Operation
	if now.DeploymentID != to.DeploymentID {
		ops = append(ops, replace(deploymentPath, to.DeploymentID))
	}
	ops = append(ops, settingMap(variablesPath, now.Variables, to.Variables)...)
	if len(ops) > 0 {
		patches = append(patches, ops)
	}
	switch {
	case to.Canary != nil && now.Canary == nil:
		patches = append(patches, creating(*to.Canary))
	case to.Canary != nil:
		if ops := adjusting(*now.Canary, *to.Canary); len(ops) > 0 {
			patches = append(patches, ops)
		}
	}
	return patches
}

func adjusting(now, to Canary) []Operation {
	var ops []Operation
	if now.DeploymentID != to.DeploymentID {
		ops = append(ops, replace(canaryDeploy, to.DeploymentID))
	}
	if now.UseStageCache != to.UseStageCache {
		ops = append(ops, replace(stageCachePath, strconv.FormatBool(to.UseStageCache)))
	}
	ops = append(ops, settingMap(overridesPath, now.Overrides, to.Overrides)...)
	if now.Percent != to.Percent {
		ops = append(ops, replace(percentPath, percent(to.Percent)))
	}
	return ops
}

func settingMap(path string, now, to map[string]string) []Operation {
	var ops []Operation
	for _, key := range keys(now, to) {
		was, had := now[key]
		is, has := to[key]
		switch {
		case !has:
			ops = append(ops, remove(path+"/"+key))
		case !had || was != is:
			ops = append(ops, replace(path+"/"+key, is))
		}
	}
	return ops
}

var (
	variableName  = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)
	variableValue = regexp.MustCompile(`^[A-Za-z0-9._~:/?#&=,-]{1,512}$`)
)

// checkVariables keeps a name from becoming another path of the patch.
func checkVariables(variables map[string]string) error {
	for _, key := range keys(variables) {
		if !variableName.MatchString(key) {
			return fmt.Errorf("stage variable %q: a name has 1 to 64 letters, digits and underscores", key)
		}
		if !variableValue.MatchString(variables[key]) {
			return fmt.Errorf("stage variable %s: a value has 1 to 512 of A-Z a-z 0-9 - . _ ~ : / ? # & = ,", key)
		}
	}
	return nil
}
