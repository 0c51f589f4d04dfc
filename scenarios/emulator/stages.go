package emulator

import (
	"maps"
	"slices"
	"strings"
)

// stage is a stage on the wire. What is always present and what is left out when unset is as AWS was recorded to do it.
type stage struct {
	StageName            string                    `json:"stageName"`
	DeploymentID         string                    `json:"deploymentId"`
	Description          string                    `json:"description,omitempty"`
	ClientCertificateID  string                    `json:"clientCertificateId,omitempty"`
	CacheClusterEnabled  bool                      `json:"cacheClusterEnabled"`
	CacheClusterSize     string                    `json:"cacheClusterSize,omitempty"`
	CacheClusterStatus   string                    `json:"cacheClusterStatus"`
	MethodSettings       map[string]methodSettings `json:"methodSettings"`
	Variables            map[string]string         `json:"variables,omitempty"`
	DocumentationVersion string                    `json:"documentationVersion,omitempty"`
	AccessLogSettings    *accessLogSettings        `json:"accessLogSettings,omitempty"`
	CanarySettings       *canarySettings           `json:"canarySettings,omitempty"`
	TracingEnabled       bool                      `json:"tracingEnabled"`
	Tags                 map[string]string         `json:"tags,omitempty"`
	CreatedDate          epoch                     `json:"createdDate"`
	LastUpdatedDate      epoch                     `json:"lastUpdatedDate"`
}

type accessLogSettings struct {
	Format         string `json:"format,omitempty"`
	DestinationARN string `json:"destinationArn,omitempty"`
}

type canarySettings struct {
	PercentTraffic decimal           `json:"percentTraffic"`
	DeploymentID   string            `json:"deploymentId"`
	Overrides      map[string]string `json:"stageVariableOverrides,omitempty"`
	UseStageCache  bool              `json:"useStageCache"`
}

func newStage(name string) *stage {
	return &stage{
		StageName:          name,
		CacheClusterStatus: "NOT_AVAILABLE",
		MethodSettings:     map[string]methodSettings{},
		CreatedDate:        now(),
	}
}

// clone goes as deep as anything here is changed.
func (s *stage) clone() *stage {
	c := *s
	c.MethodSettings = maps.Clone(s.MethodSettings)
	c.Variables = maps.Clone(s.Variables)
	c.Tags = maps.Clone(s.Tags)
	if s.AccessLogSettings != nil {
		settings := *s.AccessLogSettings
		c.AccessLogSettings = &settings
	}
	if s.CanarySettings != nil {
		settings := *s.CanarySettings
		settings.Overrides = maps.Clone(s.CanarySettings.Overrides)
		c.CanarySettings = &settings
	}
	return &c
}

func (s *stage) setCache(on bool) {
	s.CacheClusterEnabled, s.CacheClusterStatus = on, "NOT_AVAILABLE"
	if on {
		s.CacheClusterStatus = "AVAILABLE"
		if s.CacheClusterSize == "" {
			s.CacheClusterSize = "0.5"
		}
	}
}

// store puts a changed stage in place, for the control plane at once and for the data plane as it propagates.
func (c *control) store(api *restAPI, changed *stage) {
	changed.LastUpdatedDate = now()
	if changed.DeploymentID == "" && changed.CanarySettings != nil {
		changed.DeploymentID = changed.CanarySettings.DeploymentID
	}
	api.stages[changed.StageName] = changed
	c.publish(api, changed)
}

func (c *control) publish(api *restAPI, st *stage) {
	key := stageKey{api.ID, st.StageName}
	c.plane.publish(key, newRelease(api, st, c.plane.newest(key)))
}

func (c *control) createStage(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	var want struct {
		StageName            string
		DeploymentID         string
		Description          string
		CacheClusterEnabled  bool
		CacheClusterSize     string
		Variables            map[string]string
		DocumentationVersion string
		CanarySettings       *canarySettings
		TracingEnabled       bool
		Tags                 map[string]string
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if !isStageName(want.StageName) {
		return answer{}, badRequest("Stage name only allows a-zA-Z0-9_-")
	}
	if api.stages[want.StageName] != nil {
		return answer{}, conflict("Stage already exists")
	}
	if api.deploymentByID(want.DeploymentID) == nil {
		return answer{}, badRequest("Deployment id does not exist")
	}
	if err := validateVariables(want.Variables); err != nil {
		return answer{}, err
	}
	if err := c.allowTags(want.Tags); err != nil {
		return answer{}, err
	}
	st := newStage(want.StageName)
	st.DeploymentID, st.Description, st.Variables = want.DeploymentID, want.Description, want.Variables
	st.DocumentationVersion, st.TracingEnabled, st.Tags = want.DocumentationVersion, want.TracingEnabled, want.Tags
	st.CacheClusterSize = want.CacheClusterSize
	st.setCache(want.CacheClusterEnabled)
	if canary := want.CanarySettings; canary != nil {
		if canary.DeploymentID == "" {
			canary.DeploymentID = st.DeploymentID
		}
		if api.deploymentByID(canary.DeploymentID) == nil {
			return answer{}, badRequest("Deployment id does not exist")
		}
		if err := canary.validate(); err != nil {
			return answer{}, err
		}
		st.CanarySettings = canary
	}
	c.store(api, st)
	return created(st)
}

func (c *control) getStages(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	all := []*stage{}
	for _, name := range slices.Sorted(maps.Keys(api.stages)) {
		if st := api.stages[name]; !in.query.Has("deploymentId") || st.DeploymentID == in.query.Get("deploymentId") {
			all = append(all, st)
		}
	}
	return ok(list[*stage]{Item: all})
}

func (c *control) getStage(in *call) (answer, error) {
	_, st, err := c.stage(in)
	if err != nil {
		return answer{}, err
	}
	return ok(st)
}

// updateStage applies all operations of a patch in order, or none of them.
func (c *control) updateStage(in *call) (answer, error) {
	api, st, err := c.stage(in)
	if err != nil {
		return answer{}, err
	}
	ops, err := in.patch("updateStageInput")
	if err != nil {
		return answer{}, err
	}
	changed := st.clone()
	for _, op := range ops {
		if err := changed.apply(op, api); err != nil {
			return answer{}, err
		}
	}
	c.store(api, changed)
	return ok(changed)
}

func (c *control) deleteStage(in *call) (answer, error) {
	api, st, err := c.stage(in)
	if err != nil {
		return answer{}, err
	}
	delete(api.stages, st.StageName)
	c.plane.withdraw(stageKey{api.ID, st.StageName})
	return accepted()
}

func (c *control) flushStageCache(in *call) (answer, error) {
	api, st, err := c.stage(in)
	if err != nil {
		return answer{}, err
	}
	c.plane.flush(stageKey{api.ID, st.StageName})
	return accepted()
}

func (c *control) stage(in *call) (*restAPI, *stage, error) {
	api, err := c.api(in)
	if err != nil {
		return nil, nil, err
	}
	st := api.stages[in.path("stage")]
	if st == nil {
		return nil, nil, notFound("Invalid stage identifier specified")
	}
	return api, st, nil
}

func isStageName(s string) bool { return isName(s) && len(s) <= 128 }

func validateVariables(variables map[string]string) error {
	for key, value := range variables {
		if err := validateVariable(key, value); err != nil {
			return err
		}
	}
	return nil
}

func validateVariable(key, value string) error {
	if !isName(key) || len(key) > 64 {
		return badRequest("Invalid stage variable name: %s. Please use names of at most 64 alphanumeric characters and underscores.", key)
	}
	if len(value) > 512 || strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?#&=,") != "" {
		return badRequest("Invalid stage variable value: %s. Please use values with alphanumeric characters and the symbols ' ', '-', '.', '_', ':', '/', '?', '&', '=', and ','.", value)
	}
	return nil
}
