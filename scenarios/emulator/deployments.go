package emulator

import (
	"maps"
	"slices"
)

// deployment is an immutable snapshot of an API's methods, by resource path and verb, and of its gateway responses.
type deployment struct {
	ID          string `json:"id"`
	Description string `json:"description,omitempty"`
	CreatedDate epoch  `json:"createdDate"`

	snapshot []deployed
	errors   errorForms
}

// deployed is one resource of a snapshot.
type deployed struct {
	resourceID string
	path       string
	methods    map[string]*method
}

func (c *control) createDeployment(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	var want struct {
		StageName           *string
		StageDescription    string
		Description         string
		CacheClusterEnabled *bool
		CacheClusterSize    string
		Variables           map[string]string
		CanarySettings      *canarySettings
		TracingEnabled      *bool
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	d := &deployment{ID: newID(6), Description: want.Description, CreatedDate: now()}
	if want.StageName == nil || *want.StageName == "" {
		if want.CanarySettings != nil {
			provided := "null"
			if want.StageName != nil {
				provided = ""
			}
			return answer{}, badRequest("Invalid deployment content specified.Non null and non empty stageName must be provided for canary deployment. Provided value is %s", provided)
		}
		if err = api.freeze(d); err != nil {
			return answer{}, err
		}
		api.deployments = append(api.deployments, d)
		return created(d)
	}

	name := *want.StageName
	st := api.stages[name]
	switch {
	case want.CanarySettings != nil && st == nil:
		return answer{}, badRequest("Invalid deployment content specified.Stage %s must already be created before making a canary release deployment", name)
	case want.CanarySettings == nil && st != nil && st.CanarySettings != nil:
		return answer{}, badRequest("Invalid deployment content specified.Non canary deployment not supported on stage %s because Canary is enabled. Provide CanarySettings in deploymentInput.", name)
	case !isStageName(name):
		return answer{}, badRequest("Stage name only allows a-zA-Z0-9_-")
	}
	if err = api.freeze(d); err != nil {
		return answer{}, err
	}
	changed := newStage(name)
	if st != nil {
		changed = st.clone()
	}
	if canary := want.CanarySettings; canary != nil {
		canary.DeploymentID = d.ID
		if err := canary.validate(); err != nil {
			return answer{}, err
		}
		changed.CanarySettings = canary
	} else {
		changed.DeploymentID = d.ID
	}
	if err := validateVariables(want.Variables); err != nil {
		return answer{}, err
	}
	if want.Variables != nil {
		changed.Variables = want.Variables
	}
	if want.StageDescription != "" {
		changed.Description = want.StageDescription
	}
	if want.CacheClusterEnabled != nil {
		changed.setCache(*want.CacheClusterEnabled)
	}
	if want.CacheClusterSize != "" {
		changed.CacheClusterSize = want.CacheClusterSize
	}
	if want.TracingEnabled != nil {
		changed.TracingEnabled = *want.TracingEnabled
	}
	api.deployments = append(api.deployments, d)
	c.store(api, changed)
	return created(d)
}

// freeze takes the snapshot that a deployment is. Methods are immutable, so sharing them is enough.
func (api *restAPI) freeze(d *deployment) error {
	for _, r := range api.resources {
		for _, m := range r.methods {
			if m.Integration == nil {
				return notFound("No integration defined for method")
			}
		}
		if len(r.methods) > 0 {
			d.snapshot = append(d.snapshot, deployed{r.ID, r.Path, maps.Clone(r.methods)})
		}
	}
	if len(d.snapshot) == 0 {
		return badRequest("The REST API doesn't contain any methods")
	}
	d.errors = newErrorForms(api.responses)
	return nil
}

func (c *control) getDeployments(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	return paged(api.deployments, in.query)
}

func (c *control) getDeployment(in *call) (answer, error) {
	_, d, err := c.deployment(in)
	if err != nil {
		return answer{}, err
	}
	if !slices.Contains(in.query["embed"], "apisummary") {
		return ok(d)
	}
	type snapshot struct {
		AuthorizationType string `json:"authorizationType"`
		APIKeyRequired    bool   `json:"apiKeyRequired"`
	}
	summary := map[string]map[string]snapshot{}
	for _, r := range d.snapshot {
		summary[r.path] = map[string]snapshot{}
		for verb, m := range r.methods {
			summary[r.path][verb] = snapshot{m.AuthorizationType, m.APIKeyRequired}
		}
	}
	return ok(struct {
		*deployment
		Summary any `json:"apiSummary"`
	}{d, summary})
}

func (c *control) updateDeployment(in *call) (answer, error) {
	_, d, err := c.deployment(in)
	if err != nil {
		return answer{}, err
	}
	ops, err := in.patch("updateDeploymentInput")
	if err != nil {
		return answer{}, err
	}
	description := d.Description
	for _, op := range ops {
		if op.Op != "replace" || op.Path != "/description" {
			return answer{}, badRequest("Invalid patch path %s", op.Path)
		}
		description = op.Value
	}
	d.Description = description
	return ok(d)
}

func (c *control) deleteDeployment(in *call) (answer, error) {
	api, d, err := c.deployment(in)
	if err != nil {
		return answer{}, err
	}
	for _, st := range api.stages {
		if st.DeploymentID == d.ID || st.CanarySettings != nil && st.CanarySettings.DeploymentID == d.ID {
			return answer{}, badRequest("Active stages pointing to this deployment must be moved or deleted")
		}
	}
	api.deployments = slices.DeleteFunc(api.deployments, func(other *deployment) bool { return other == d })
	return accepted()
}

func (c *control) deployment(in *call) (*restAPI, *deployment, error) {
	api, err := c.api(in)
	if err != nil {
		return nil, nil, err
	}
	d := api.deploymentByID(in.path("deployment"))
	if d == nil {
		return nil, nil, notFound("Invalid Deployment identifier specified")
	}
	return api, d, nil
}

func (api *restAPI) deploymentByID(id string) *deployment {
	for _, d := range api.deployments {
		if d.ID == id {
			return d
		}
	}
	return nil
}
