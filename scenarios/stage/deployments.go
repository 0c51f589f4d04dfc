package stage

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

// clean deletes the deployments that this story made and no stage uses. Those
// of earlier stories stay, since they may be what somebody rolls back to; but
// not one that an earlier story made for the canary which is gone by now.
func (a *act) clean(ctx context.Context, canarys ...string) error {
	story := a.j.current()
	if story == nil || !story.made() && len(canarys) == 0 || a.change.Ref.Weighted() || a.j.about(a.c, a.change.Ref) != nil {
		return nil
	}
	used, err := a.c.usedDeployments(ctx, a.change.Ref.API)
	if err != nil {
		return err
	}
	unused := canarys
	if story.made() {
		ours, err := a.c.deploymentsOf(ctx, a.change.Ref.API, *story)
		if err != nil {
			return err
		}
		unused = slices.Concat(canarys, ours)
	}
	for _, id := range unused {
		if used[id] || id == story.Before.DeploymentID || slices.Contains(a.change.Deleted, id) {
			continue
		}
		if err := a.deleteDeployment(ctx, id); err != nil {
			return err
		}
		a.change.Deleted = append(a.change.Deleted, id)
	}
	return nil
}

// usedDeployments are those of the API's stages and of their canaries.
func (c *Client) usedDeployments(ctx context.Context, api string) (map[string]bool, error) {
	stages, err := c.gateway.GetStages(ctx, &apigateway.GetStagesInput{RestApiId: &api})
	if err != nil {
		return nil, condense(err)
	}
	used := map[string]bool{}
	for _, s := range stages.Item {
		used[text(s.DeploymentId)] = true
		if s.CanarySettings != nil {
			used[text(s.CanarySettings.DeploymentId)] = true
		}
	}
	return used, nil
}

func (a *act) deleteDeployment(ctx context.Context, id string) error {
	api := a.change.Ref.API
	return a.step(ctx, Step{Request: "DeleteDeployment"}, func(ctx context.Context) (Outcome, error) {
		_, err := a.c.gateway.DeleteDeployment(ctx, &apigateway.DeleteDeploymentInput{RestApiId: &api, DeploymentId: &id}, finished)
		if IsNotFound(err) {
			err = nil // deleted by an attempt whose answer was lost
		}
		return Outcome{Deployment: id}, condense(err)
	})
}

// tidy is clean where the stage is what matters: deployments that could not be
// deleted are a note. Where a recovery can still do it, the story stays open.
func (a *act) tidy(ctx context.Context, canarys ...string) {
	err := a.clean(ctx, canarys...)
	if err == nil {
		a.j.keepOpen(false)
		return
	}
	note := "an unused deployment of coalmine's is left: " + err.Error()
	if ctx.Err() != nil || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrCredentials) || throttled(err) {
		a.change.untidy = err
		a.j.keepOpen(true)
		note += "; coalmine canary recover " + a.j.path + " deletes it"
	}
	a.change.Notes = append(a.change.Notes, note)
}

// discardable is the deployment of a canary that is about to go, if this journal says that it was made for a canary and
// nothing else; else why it is left, in one sentence, unless there is nothing to leave.
func (j *Journal) discardable(s State) (canarys []string, left string) {
	id := s.Canary.DeploymentID
	var made, served bool
	for _, story := range j.Stories() {
		served = served || story.Before.DeploymentID == id
		for _, step := range story.Steps {
			made = made || step.Request == "CreateDeployment" && step.Outcome != nil && step.Outcome.Deployment == id
			served = served || step.Before != nil && step.Before.DeploymentID == id ||
				step.Verb == verbPromote && step.Judged != nil && step.Judged.Stage != nil && step.Judged.Stage.Canary != nil && step.Judged.Stage.Canary.DeploymentID == id
		}
	}
	switch {
	case id == s.DeploymentID:
		return nil, ""
	case !made:
		return nil, "deployment " + id + ", which was the canary's, is left: this journal does not say that coalmine made it"
	case served:
		return nil, "deployment " + id + ", which was the canary's, is left: it has been the stage's"
	}
	return []string{id}, ""
}

// deploymentsOf finds a story's deployments by their description, which also
// finds one whose CreateDeployment was never answered.
func (c *Client) deploymentsOf(ctx context.Context, api string, story Story) ([]string, error) {
	var ids []string
	pages := apigateway.NewGetDeploymentsPaginator(c.gateway, &apigateway.GetDeploymentsInput{RestApiId: &api, Limit: aws.Int32(500)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, condense(err)
		}
		for _, d := range page.Items {
			if strings.HasSuffix(text(d.Description), story.marker()) {
				ids = append(ids, text(d.Id))
			}
		}
	}
	return ids, nil
}
