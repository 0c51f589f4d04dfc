package stage

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

// clean deletes the deployments that this story made and no stage uses. Those
// of earlier stories stay: they may be what somebody rolls back to.
func (a *act) clean(ctx context.Context) error {
	story := a.j.current()
	if story == nil || !story.made() || a.change.Ref.Weighted() || a.j.about(a.c, a.change.Ref) != nil {
		return nil
	}
	api := a.change.Ref.API
	stages, err := a.c.gateway.GetStages(ctx, &apigateway.GetStagesInput{RestApiId: &api})
	if err != nil {
		return condense(err)
	}
	used := map[string]bool{story.Before.DeploymentID: true}
	for _, s := range stages.Item {
		used[text(s.DeploymentId)] = true
		if s.CanarySettings != nil {
			used[text(s.CanarySettings.DeploymentId)] = true
		}
	}
	ours, err := a.c.deploymentsOf(ctx, api, *story)
	if err != nil {
		return err
	}
	for _, id := range ours {
		if used[id] {
			continue
		}
		err := a.step(ctx, Step{Request: "DeleteDeployment"}, func(ctx context.Context) (Outcome, error) {
			_, err := a.c.gateway.DeleteDeployment(ctx, &apigateway.DeleteDeploymentInput{RestApiId: &api, DeploymentId: &id}, finished)
			if IsNotFound(err) {
				err = nil // deleted by an attempt whose answer was lost
			}
			return Outcome{Deployment: id}, condense(err)
		})
		if err != nil {
			return err
		}
		a.change.Deleted = append(a.change.Deleted, id)
	}
	return nil
}

// tidy is clean where the stage is what matters: deployments that could not be
// deleted are a note.
func (a *act) tidy(ctx context.Context) {
	if err := a.clean(ctx); err != nil {
		if errors.Is(err, ErrUnreachable) || errors.Is(err, ErrCredentials) {
			a.change.untidy = err
			a.j.unsee() // a recovery can still do it
		}
		a.change.Notes = append(a.change.Notes, "an unused deployment of coalmine's is left: "+err.Error())
	}
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
