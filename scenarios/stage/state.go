package stage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// Ref names what splits the traffic, a stage's canary settings or an alias's weights, and the method under test.
type Ref struct {
	API      string `json:"api,omitempty"` // id
	Stage    string `json:"stage,omitempty"`
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"`
	Function string `json:"function,omitempty"` // of a weighted alias; API and Stage are empty then
	Alias    string `json:"alias,omitempty"`
}

// Weighted reports whether an alias's weights split the traffic.
func (r Ref) Weighted() bool { return r.Alias != "" }

// String names the splitter.
func (r Ref) String() string {
	if r.Weighted() {
		return r.Function + ":" + r.Alias
	}
	return r.Stage
}

// thing names it in full.
func (r Ref) thing() string {
	if r.Weighted() {
		return fmt.Sprintf("alias %s of %s", r.Alias, r.Function)
	}
	return fmt.Sprintf("stage %s of API %s", r.Stage, r.API)
}

// same reports whether another ref names the same splitter, whatever the method.
func (r Ref) same(other Ref) bool {
	return r.API == other.API && r.Stage == other.Stage && r.Function == other.Function && r.Alias == other.Alias
}

// State is a stage as it was read: all that a verb of this package changes,
// and what tells that somebody else changed it.
type State struct {
	API          string            `json:"api"`
	APIName      string            `json:"api_name,omitempty"`
	Stage        string            `json:"stage"`
	DeploymentID string            `json:"deployment_id"`
	Variables    map[string]string `json:"variables,omitempty"`
	Canary       *Canary           `json:"canary,omitempty"` // nil: none
	CacheEnabled bool              `json:"cache_enabled,omitempty"`
	LastUpdated  time.Time         `json:"last_updated,omitzero"` // to the second, as AWS gives it
	Tags         map[string]string `json:"tags,omitempty"`
}

// Canary is a stage's canary settings.
type Canary struct {
	DeploymentID  string            `json:"deployment_id"`
	Percent       float64           `json:"percent"` // of the stage's traffic, 0 to 100
	Overrides     map[string]string `json:"overrides,omitempty"`
	UseStageCache bool              `json:"use_stage_cache,omitempty"`
}

// CanaryVariables are the stage variables a canary request sees: the
// overrides win, the rest stays visible.
func (s State) CanaryVariables() map[string]string {
	merged := map[string]string{}
	maps.Copy(merged, s.Variables)
	if s.Canary != nil {
		maps.Copy(merged, s.Canary.Overrides)
	}
	return merged
}

// Read reads the stage.
func (c *Client) Read(ctx context.Context, ref Ref) (State, error) {
	state, err := c.read(ctx, ref)
	if err != nil {
		return state, fmt.Errorf("read stage %s: %w", ref.Stage, err)
	}
	return state, nil
}

func (c *Client) read(ctx context.Context, ref Ref) (State, error) {
	state, _, err := c.readStage(ctx, ref)
	return state, err
}

// readStage also gives what AWS said: a State holds only what verbs change.
func (c *Client) readStage(ctx context.Context, ref Ref) (State, *apigateway.GetStageOutput, error) {
	if ref.API == "" || ref.Stage == "" {
		return State{}, nil, fmt.Errorf("API %q, stage %q: both must be named", ref.API, ref.Stage)
	}
	api, err := c.api(ctx, ref.API)
	if err != nil {
		return State{}, nil, err
	}
	out, err := c.gateway.GetStage(ctx, &apigateway.GetStageInput{RestApiId: &ref.API, StageName: &ref.Stage})
	if err != nil {
		return State{}, nil, condense(err)
	}
	return State{
		API:          ref.API,
		APIName:      api.name,
		Stage:        ref.Stage,
		DeploymentID: text(out.DeploymentId),
		Variables:    out.Variables,
		Canary:       canaryFrom(out.CanarySettings),
		CacheEnabled: out.CacheClusterEnabled,
		LastUpdated:  aws.ToTime(out.LastUpdatedDate).UTC(),
		Tags:         out.Tags,
	}, out, nil
}

func (c *Client) api(ctx context.Context, id string) (api, error) {
	c.mu.Lock()
	a, known := c.apis[id]
	c.mu.Unlock()
	if known {
		return a, nil
	}
	out, err := c.gateway.GetRestApi(ctx, &apigateway.GetRestApiInput{RestApiId: &id})
	if err != nil {
		return api{}, condense(err)
	}
	a = api{name: text(out.Name), disabled: out.DisableExecuteApiEndpoint, keys: string(out.ApiKeySource), tags: out.Tags}
	c.remember(id, a)
	return a, nil
}

func canaryFrom(s *types.CanarySettings) *Canary {
	if s == nil {
		return nil
	}
	return &Canary{
		DeploymentID:  text(s.DeploymentId),
		Percent:       s.PercentTraffic,
		Overrides:     s.StageVariableOverrides,
		UseStageCache: s.UseStageCache,
	}
}

// Differs lists, for a person, how the stage differs from an earlier reading;
// nil when it does not. A zero LastUpdated on either side is not compared.
func (s State) Differs(from State) []string {
	changes := s.settingsDiffer(from)
	if len(changes) == 0 && !s.LastUpdated.IsZero() && !from.LastUpdated.IsZero() && !s.LastUpdated.Equal(from.LastUpdated) {
		// Something else on the stage was edited, or a change was made and
		// taken back: either way the traffic measured was not of one stage.
		changes = append(changes, fmt.Sprintf("last updated: %s -> %s", from.LastUpdated.Format(time.RFC3339), s.LastUpdated.Format(time.RFC3339)))
	}
	return changes
}

// settingsDiffer compares what verbs of this package can change.
func (s State) settingsDiffer(from State) []string {
	var changes []string
	add := func(what, was, is string) {
		if was != is {
			changes = append(changes, fmt.Sprintf("%s: %s -> %s", what, was, is))
		}
	}
	add("deployment", from.DeploymentID, s.DeploymentID)
	for _, key := range keys(from.Variables, s.Variables) {
		add("variable "+key, value(from.Variables, key), value(s.Variables, key))
	}
	add("cache", onOff(from.CacheEnabled), onOff(s.CacheEnabled))
	switch was, is := from.Canary, s.Canary; {
	case was == nil || is == nil:
		add("canary", was.String(), is.String())
	default:
		add("canary percent", percent(was.Percent), percent(is.Percent))
		add("canary deployment", was.DeploymentID, is.DeploymentID)
		for _, key := range keys(was.Overrides, is.Overrides) {
			add("canary override "+key, value(was.Overrides, key), value(is.Overrides, key))
		}
		add("canary uses stage cache", onOff(was.UseStageCache), onOff(is.UseStageCache))
	}
	return changes
}

// String describes the canary in one line.
func (c *Canary) String() string {
	if c == nil {
		return "none"
	}
	s := percent(c.Percent) + "% to deployment " + c.DeploymentID
	for _, key := range keys(c.Overrides) {
		s += ", " + key + "=" + c.Overrides[key]
	}
	if c.UseStageCache {
		s += ", stage cache"
	}
	return s
}

func (s State) clone() State {
	s.Variables = maps.Clone(s.Variables)
	if s.Canary != nil {
		canary := *s.Canary
		canary.Overrides = maps.Clone(canary.Overrides)
		s.Canary = &canary
	}
	return s
}

func text(s *string) string { return aws.ToString(s) }

func keys(from ...map[string]string) []string {
	all := map[string]bool{}
	for _, m := range from {
		for key := range m {
			all[key] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func value(m map[string]string, key string) string {
	if v, ok := m[key]; ok {
		return strconv.Quote(v)
	}
	return "unset"
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// percent is a percentage as AWS wants it in a patch: a string with a point.
func percent(p float64) string {
	s := strconv.FormatFloat(p, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
