package products

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"coalmine/scenarios/stage"
)

// findAPI is our API's id, "" when there is none.
func (b *build) findAPI(ctx context.Context) (string, error) {
	ours, others, err := b.listAPIs(ctx)
	switch {
	case err != nil:
		return "", err
	case len(ours) > 1:
		return "", fmt.Errorf("there are %d APIs %s: %s; stack down removes them", len(ours), Name, strings.Join(ours, ", "))
	case len(ours) == 1:
		return ours[0], nil
	case len(others) > 0:
		return "", fmt.Errorf("API %s (%s) is %w", Name, others[0], errForeign)
	}
	return "", nil
}

// api makes what is missing of the API, its resource and method.
func (b *build) api(ctx context.Context, id string) (string, error) {
	gw := b.c.Gateway()
	if id != "" {
		b.found("API %s (%s)", Name, id)
	} else {
		out, err := gw.CreateRestApi(ctx, &apigateway.CreateRestApiInput{
			Name:        aws.String(Name),
			Description: aws.String("coalmine's demonstration"),
			// The default, EDGE, would put a CDN between load and API.
			EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{types.EndpointTypeRegional}},
			Tags:                  tags(),
		})
		if err != nil {
			return "", stage.Condense(err)
		}
		id = aws.ToString(out.Id)
		b.made("API %s (%s)", Name, id)
	}
	root, resource, err := b.resources(ctx, id)
	if err != nil {
		return id, err
	}
	if resource.Id != nil {
		b.found("resource %s", Path)
	} else {
		out, err := gw.CreateResource(ctx, &apigateway.CreateResourceInput{RestApiId: &id, ParentId: root.Id, PathPart: aws.String(strings.TrimPrefix(Path, "/"))})
		if err != nil {
			return id, stage.Condense(err)
		}
		resource.Id = out.Id
		b.made("resource %s", Path)
	}
	if err := b.method(ctx, id, resource); err != nil {
		return id, err
	}
	return id, b.gatewayResponse(ctx, id)
}

// anonymous is what the gateway says where the function did not, or could not: with the alias that it was to invoke, for such
// an answer has no version. It holds for deployments made after it.
const anonymous = `{"message":$context.error.messageString,"alias":"$stageVariables.lambdaAlias","requestId":"$context.requestId"}`

func (b *build) gatewayResponse(ctx context.Context, api string) error {
	kind := types.GatewayResponseTypeDefault5xx
	there, err := b.c.Gateway().GetGatewayResponse(ctx, &apigateway.GetGatewayResponseInput{RestApiId: &api, ResponseType: kind})
	if err != nil && !stage.IsNotFound(err) { // moto has no default ones
		return stage.Condense(err)
	}
	if err == nil && !there.DefaultResponse {
		b.found("gateway response %s", kind)
		return nil
	}
	_, err = b.c.Gateway().PutGatewayResponse(ctx, &apigateway.PutGatewayResponseInput{
		RestApiId: &api, ResponseType: kind, ResponseTemplates: map[string]string{"application/json": anonymous},
	})
	if err != nil {
		return stage.Condense(err)
	}
	b.made("gateway response %s, which names the alias", kind)
	return nil
}

func (b *build) resources(ctx context.Context, api string) (root, resource types.Resource, err error) {
	pages := apigateway.NewGetResourcesPaginator(b.c.Gateway(), &apigateway.GetResourcesInput{RestApiId: &api, Limit: aws.Int32(500)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return root, resource, stage.Condense(err)
		}
		for _, r := range page.Items {
			switch aws.ToString(r.Path) {
			case "/":
				root = r
			case Path:
				resource = r
			}
		}
	}
	return root, resource, nil
}

func (b *build) method(ctx context.Context, api string, resource types.Resource) error {
	gw := b.c.Gateway()
	if _, ok := resource.ResourceMethods[Method]; ok {
		b.found("method %s %s", Method, Path)
	} else {
		_, err := gw.PutMethod(ctx, &apigateway.PutMethodInput{
			RestApiId: &api, ResourceId: resource.Id, HttpMethod: aws.String(Method), AuthorizationType: aws.String("NONE"),
		})
		if err != nil {
			return stage.Condense(err)
		}
		b.made("method %s %s", Method, Path)
	}
	there, err := gw.GetIntegration(ctx, &apigateway.GetIntegrationInput{RestApiId: &api, ResourceId: resource.Id, HttpMethod: aws.String(Method)})
	switch {
	case err == nil && there.Uri != nil: // moto answers 200 and nothing where there is none
		b.found("integration with %s", Function)
		return nil
	case err != nil && !stage.IsNotFound(err):
		return stage.Condense(err)
	}
	uri := fmt.Sprintf("arn:aws:apigateway:%s:lambda:path/2015-03-31/functions/arn:aws:lambda:%[1]s:%s:function:%s:${stageVariables.%s}/invocations",
		b.c.Region(), b.c.Account(), Function, variable)
	_, err = gw.PutIntegration(ctx, &apigateway.PutIntegrationInput{
		RestApiId: &api, ResourceId: resource.Id, HttpMethod: aws.String(Method),
		// Lambda is invoked by POST whatever the method is.
		Type: types.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"), Uri: &uri,
	})
	if err != nil {
		return stage.Condense(err)
	}
	b.made("integration with %s", Function)
	return nil
}

// permissions let the API invoke each alias: a permission on the function, or
// on another alias, does not cover it.
func (b *build) permissions(ctx context.Context, api string) error {
	id := "coalmine-" + api // an API that was made anew needs its own
	for _, r := range releases {
		out, err := b.c.Lambda().GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: aws.String(Function), Qualifier: aws.String(r.stage)})
		if err != nil && !stage.IsNotFound(err) {
			return stage.Condense(err)
		}
		if err == nil && strings.Contains(aws.ToString(out.Policy), fmt.Sprintf("%q", id)) {
			b.found("permission for alias %s", r.stage)
			continue
		}
		_, err = b.c.Lambda().AddPermission(ctx, &lambda.AddPermissionInput{
			FunctionName: aws.String(Function), Qualifier: aws.String(r.stage), StatementId: &id,
			Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
			SourceArn: aws.String(fmt.Sprintf("arn:aws:execute-api:%s:%s:%s/*/%s%s", b.c.Region(), b.c.Account(), api, Method, Path)),
		})
		if err != nil {
			return stage.Condense(err)
		}
		b.made("permission for alias %s", r.stage)
	}
	return nil
}

// stages makes the missing stages on one deployment: CreateDeployment is
// limited to one in five seconds, CreateStage is not.
func (b *build) stages(ctx context.Context, api string) error {
	gw := b.c.Gateway()
	there, err := gw.GetStages(ctx, &apigateway.GetStagesInput{RestApiId: &api})
	if err != nil {
		return stage.Condense(err)
	}
	found := map[string]bool{}
	for _, s := range there.Item {
		found[aws.ToString(s.StageName)] = true
	}
	deployment := ""
	for _, r := range releases {
		if found[r.stage] {
			b.found("stage %s", r.stage)
			continue
		}
		if deployment == "" {
			if deployment, err = b.deployment(ctx, api); err != nil {
				return err
			}
		}
		_, err := gw.CreateStage(ctx, &apigateway.CreateStageInput{
			RestApiId: &api, StageName: aws.String(r.stage), DeploymentId: &deployment,
			Variables: map[string]string{variable: r.stage}, Tags: tags(),
		})
		if err != nil {
			return stage.Condense(err)
		}
		b.made("stage %s, %s=%s", r.stage, variable, r.stage)
	}
	return nil
}

// deployment is the one that the stages start on: there already when an
// earlier Up broke off after making it.
func (b *build) deployment(ctx context.Context, api string) (string, error) {
	gw := b.c.Gateway()
	text := "coalmine stack " + Name
	pages := apigateway.NewGetDeploymentsPaginator(gw, &apigateway.GetDeploymentsInput{RestApiId: &api, Limit: aws.Int32(500)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", stage.Condense(err)
		}
		for _, d := range page.Items {
			if aws.ToString(d.Description) == text {
				b.found("deployment %s", aws.ToString(d.Id))
				return aws.ToString(d.Id), nil
			}
		}
	}
	var out *apigateway.CreateDeploymentOutput
	err := b.allowed(ctx, 5*time.Second, func() (err error) {
		out, err = gw.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: &api, Description: &text})
		return err
	})
	if err != nil {
		return "", stage.Condense(err)
	}
	b.made("deployment %s", aws.ToString(out.Id))
	return aws.ToString(out.Id), nil
}
