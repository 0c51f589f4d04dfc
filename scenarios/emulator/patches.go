package emulator

import (
	"slices"
	"strconv"
	"strings"
)

// patchOperation is one step of a PATCH. Values are strings whatever they mean.
type patchOperation struct {
	Op    string
	Path  string
	Value string
	From  string
}

func (in *call) patch(input string) ([]patchOperation, error) {
	var want struct{ PatchOperations []patchOperation }
	if err := in.decode(&want); err != nil {
		return nil, err
	}
	for i, op := range want.PatchOperations {
		switch op.Op {
		case "add", "remove", "replace", "move", "copy", "test":
		default:
			return nil, invalid(op.Op, input+".patchOperations."+strconv.Itoa(i+1)+".member.op",
				"Member must satisfy enum value set: [add, remove, move, test, replace, copy]")
		}
		if !strings.HasPrefix(op.Path, "/") {
			return nil, badRequest("Invalid patch path %s", op.Path)
		}
	}
	return want.PatchOperations, nil
}

func (op patchOperation) boolean() (bool, error) {
	switch strings.ToLower(op.Value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, badRequest("Invalid value %q for %s: must be true or false", op.Value, op.Path)
}

func (op patchOperation) integer() (int, error) {
	n, err := strconv.Atoi(op.Value)
	if err != nil {
		return 0, badRequest("Invalid value %q for %s: must be an integer", op.Value, op.Path)
	}
	return n, nil
}

func (op patchOperation) decimal() (decimal, error) {
	v, err := strconv.ParseFloat(op.Value, 64)
	if err != nil || v != v || v > 1e15 || v < -1e15 {
		return 0, badRequest("Invalid value %q for %s: must be a number", op.Value, op.Path)
	}
	return decimal(v), nil
}

// stagePaths is the list in AWS's own refusal, odd separators included.
const stagePaths = "[/deploymentId, /description, /cacheClusterEnabled, /cacheClusterSize, /clientCertificateId, /accessLogSettings, " +
	"/accessLogSettings/destinationArn, /accessLogSettings/format, /{resourcePath}/{httpMethod}/metrics/enabled, " +
	"/{resourcePath}/{httpMethod}/logging/dataTrace, /{resourcePath}/{httpMethod}/logging/loglevel, " +
	"/{resourcePath}/{httpMethod}/throttling/burstLimit/{resourcePath}/{httpMethod}/throttling/rateLimit/{resourcePath}/{httpMethod}/caching/ttlInSeconds, " +
	"/{resourcePath}/{httpMethod}/caching/enabled, /{resourcePath}/{httpMethod}/caching/dataEncrypted, " +
	"/{resourcePath}/{httpMethod}/caching/requireAuthorizationForCacheControl, /{resourcePath}/{httpMethod}/caching/unauthorizedCacheControlHeaderStrategy, " +
	"/*/*/metrics/enabled, /*/*/logging/dataTrace, /*/*/logging/loglevel, /*/*/throttling/burstLimit /*/*/throttling/rateLimit /*/*/caching/ttlInSeconds, " +
	"/*/*/caching/enabled, /*/*/caching/dataEncrypted, /*/*/caching/requireAuthorizationForCacheControl, " +
	"/*/*/caching/unauthorizedCacheControlHeaderStrategy, /variables/{variable_name}, /tracingEnabled]"

func (op patchOperation) unknownPath() error {
	return badRequest("Invalid method setting path: %s. Must be one of: %s", op.Path, stagePaths)
}

func (op patchOperation) nothingToRemove() error {
	return badRequest("Cannot %s method setting %s because there is no method setting for this method ", op.Op, strings.TrimPrefix(op.Path, "/"))
}

func (op patchOperation) invalidHere() error {
	return badRequest("Invalid %s operation with path: %s", op.Op, op.Path)
}

// apply is UpdateStage for one operation.
func (s *stage) apply(op patchOperation, api *restAPI) error {
	if op.Op == "copy" {
		return s.copy(op)
	}
	if leaf, found := strings.CutPrefix(op.Path, "/canarySettings/"); found {
		return s.applyCanary(op, leaf, api)
	}
	if key, found := strings.CutPrefix(op.Path, "/variables/"); found {
		return s.applyVariable(op, key)
	}
	switch op.Path {
	case "/canarySettings":
		if op.Op != "remove" {
			if op.Op == "replace" {
				return op.unknownPath()
			}
			return op.nothingToRemove()
		}
		if s.CanarySettings == nil { // not recorded; the stricter reading
			return op.nothingToRemove()
		}
		s.CanarySettings = nil
		return nil
	case "/accessLogSettings", "/accessLogSettings/destinationArn", "/accessLogSettings/format":
		return s.applyAccessLog(op)
	}
	if strings.Count(op.Path, "/") >= 2 {
		return s.applyMethodSetting(op)
	}
	return s.replace(op, api)
}

// replace is for the stage's own plain fields.
func (s *stage) replace(op patchOperation, api *restAPI) (err error) {
	known := slices.Contains([]string{"/deploymentId", "/description", "/cacheClusterEnabled", "/cacheClusterSize",
		"/clientCertificateId", "/documentationVersion", "/tracingEnabled"}, op.Path)
	if op.Op != "replace" {
		if known {
			return op.invalidHere()
		}
		return op.nothingToRemove()
	}
	switch op.Path {
	case "/deploymentId":
		if api.deploymentByID(op.Value) == nil {
			return badRequest("Deployment id does not exist")
		}
		// The guide says that a stage takes no other release while a canary is on; whether UpdateStage refuses is not recorded.
		if s.CanarySettings != nil && op.Value != s.DeploymentID {
			return badRequest("Invalid deployment content specified.Non canary deployment not supported on stage %s because Canary is enabled. Provide CanarySettings in deploymentInput.", s.StageName)
		}
		s.DeploymentID = op.Value
	case "/description":
		s.Description = op.Value
	case "/cacheClusterEnabled":
		on, err := op.boolean()
		if err != nil {
			return err
		}
		s.setCache(on)
	case "/cacheClusterSize":
		if !slices.Contains([]string{"0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237"}, op.Value) {
			return badRequest("Invalid cache cluster size: %s", op.Value)
		}
		s.CacheClusterSize = op.Value
	case "/clientCertificateId":
		s.ClientCertificateID = op.Value
	case "/documentationVersion":
		s.DocumentationVersion = op.Value
	case "/tracingEnabled":
		s.TracingEnabled, err = op.boolean()
	default:
		return op.unknownPath()
	}
	return err
}

func (s *stage) applyVariable(op patchOperation, key string) error {
	switch op.Op {
	case "replace": // also when there was none
		if err := validateVariable(key, op.Value); err != nil {
			return err
		}
		if s.Variables == nil {
			s.Variables = map[string]string{}
		}
		s.Variables[key] = op.Value
	case "remove":
		delete(s.Variables, key)
	default:
		return op.invalidHere()
	}
	return nil
}

func (s *stage) applyAccessLog(op patchOperation) error {
	if op.Op == "remove" && op.Path == "/accessLogSettings" {
		s.AccessLogSettings = nil
		return nil
	}
	if op.Op != "replace" && op.Op != "add" || op.Path == "/accessLogSettings" {
		return op.invalidHere()
	}
	if err := validateAccessLog(op); err != nil {
		return err
	}
	if s.AccessLogSettings == nil {
		s.AccessLogSettings = &accessLogSettings{}
	}
	if op.Path == "/accessLogSettings/format" {
		s.AccessLogSettings.Format = op.Value
	} else {
		s.AccessLogSettings.DestinationARN = op.Value
	}
	return nil
}
