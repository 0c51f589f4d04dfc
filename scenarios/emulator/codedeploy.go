package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// deployOperations are CodeDeploy's, as far as they say which aliases it moves. What it says comes from Faults.CodeDeploy.
var deployOperations = map[string]operation{
	"CodeDeploy_20141006.ListDeployments":           (*control).listMoves,
	"CodeDeploy_20141006.BatchGetDeployments":       (*control).batchGetMoves,
	"CodeDeploy_20141006.ListDeploymentTargets":     (*control).listMoveTargets,
	"CodeDeploy_20141006.BatchGetDeploymentTargets": (*control).batchGetMoveTargets,
}

var deployStatuses = []string{"Created", "Queued", "InProgress", "Baking", "Succeeded", "Failed", "Stopped", "Ready"}

// move is a deployment of CodeDeploy's: an alias on its way from one version to another.
type move struct {
	Deployment
	id string
	at time.Time
}

// moves are the newest first, as ListDeployments has them.
func newMoves(from []Deployment, at time.Time) []move {
	all := []move{}
	for i, d := range from {
		id := "d-" + strings.ToUpper(strconv.FormatUint(mix(uint64(i+1))|1<<62, 36))[:11]
		all = append(all, move{d, id, at.Add(-d.Age)})
	}
	slices.SortStableFunc(all, func(a, b move) int { return b.at.Compare(a.at) })
	return all
}

func (c *control) move(id string) (move, error) {
	if id == "" {
		return move{}, deployRefusal("DeploymentIdRequiredException", "The deployment ID is required")
	}
	for _, m := range c.plane.faults.Load().moves {
		if m.id == id {
			return m, nil
		}
	}
	return move{}, deployRefusal("DeploymentDoesNotExistException", "The deployment %s could not be found", id)
}

func deployRefusal(code, format string, args ...any) error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

func (c *control) listMoves(in *call) (answer, error) {
	var want struct {
		ApplicationName, DeploymentGroupName, NextToken string
		IncludeOnlyStatuses                             []string
		CreateTimeRange                                 struct{ Start, End *float64 }
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if (want.ApplicationName == "") != (want.DeploymentGroupName == "") {
		return answer{}, deployRefusal("InvalidInputException", "If applicationName is specified, then deploymentGroupName must be specified, and the other way round")
	}
	for _, s := range want.IncludeOnlyStatuses {
		if !slices.Contains(deployStatuses, s) {
			return answer{}, deployRefusal("InvalidDeploymentStatusException", "Invalid deployment status: %s", s)
		}
	}
	ids := []string{}
	for _, m := range c.plane.faults.Load().moves {
		at := seconds(m.at)
		switch r := want.CreateTimeRange; {
		case len(want.IncludeOnlyStatuses) > 0 && !slices.Contains(want.IncludeOnlyStatuses, m.Status):
		case r.Start != nil && at < *r.Start, r.End != nil && at > *r.End:
		case want.ApplicationName != "" && (want.ApplicationName != m.application() || want.DeploymentGroupName != m.group()):
		default:
			ids = append(ids, m.id)
		}
	}
	part, next, err := page(ids, want.NextToken, "", 100, 100, func(format string, args ...any) error {
		return deployRefusal("InvalidNextTokenException", format, args...)
	})
	if err != nil {
		return answer{}, err
	}
	body := map[string]any{"deployments": part}
	if next != "" {
		body["nextToken"] = next
	}
	return ok(body)
}

func (d Deployment) application() string { return d.Function }
func (d Deployment) group() string       { return d.Function + "-" + d.Alias }

func (c *control) batchGetMoves(in *call) (answer, error) {
	var want struct{ DeploymentIDs []string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if len(want.DeploymentIDs) == 0 {
		return answer{}, deployRefusal("DeploymentIdRequiredException", "At least one deployment ID is required")
	}
	if len(want.DeploymentIDs) > 25 {
		return answer{}, deployRefusal("BatchLimitExceededException", "The maximum number of deployments is 25")
	}
	all := []any{}
	for _, id := range want.DeploymentIDs {
		m, err := c.move(id)
		if err != nil {
			continue
		}
		all = append(all, map[string]any{
			"deploymentId": m.id, "applicationName": m.application(), "deploymentGroupName": m.group(), "status": m.Status,
			"computePlatform": "Lambda", "createTime": seconds(m.at), "creator": "user",
			"deploymentConfigName": "CodeDeployDefault.LambdaCanary10Percent5Minutes",
			"deploymentStyle":      map[string]string{"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
		})
	}
	return ok(map[string]any{"deploymentsInfo": all})
}

func (c *control) listMoveTargets(in *call) (answer, error) {
	var want struct{ DeploymentID string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	m, err := c.move(want.DeploymentID)
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"targetIds": []string{m.Function}})
}

func (c *control) batchGetMoveTargets(in *call) (answer, error) {
	var want struct {
		DeploymentID string
		TargetIDs    []string
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	m, err := c.move(want.DeploymentID)
	if err != nil {
		return answer{}, err
	}
	if len(want.TargetIDs) == 0 {
		return answer{}, deployRefusal("DeploymentTargetIdRequiredException", "At least one target ID is required")
	}
	all := []any{}
	for _, id := range want.TargetIDs {
		if id != m.Function {
			return answer{}, deployRefusal("DeploymentTargetDoesNotExistException", "The deployment target %s does not exist", id)
		}
		all = append(all, map[string]any{"deploymentTargetType": "LambdaTarget", "lambdaTarget": map[string]any{
			"deploymentId": m.id, "targetId": id, "targetArn": fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s:%s", in.region, account, m.Function, m.Alias),
			"status": targetStatus(m.Status), "lastUpdatedAt": seconds(m.at), "lifecycleEvents": []any{}, "lambdaFunctionInfo": c.moved(m),
		}})
	}
	return ok(map[string]any{"deploymentTargets": all})
}

func targetStatus(deployment string) string {
	switch deployment {
	case "Succeeded", "Failed", "InProgress", "Ready":
		return deployment
	case "Stopped":
		return "Skipped"
	case "Baking":
		return "InProgress"
	}
	return "Pending"
}

// moved is read off the alias: its version is the one it has had, the version with a weight is where it goes, and without
// one it is the last that was published.
func (c *control) moved(m move) map[string]any {
	info := map[string]any{"functionName": m.Function, "functionAlias": m.Alias, "targetVersionWeight": decimal(0)}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.functions[m.Function]
	if f == nil {
		return info
	}
	a := f.aliases[m.Alias]
	info["currentVersion"] = a.FunctionVersion
	info["targetVersion"] = f.versions[len(f.versions)-1].Version
	for extra, weight := range a.weights() {
		info["targetVersion"], info["targetVersionWeight"] = extra, weight*100
	}
	return info
}

// seconds since 1970, as JSON protocols have times.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
