package stage

import (
	"context"
	"strings"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// request is an error with what was asked for: the SDK's own errors name the operation only.
type request struct {
	error
	service   string // "API Gateway", "Lambda"
	operation string
	verb      string // of HTTP, which API Gateway's permissions go by
	resource  string // "restapis/abc/stages/prod"
	client    *Client
}

func (r *request) Unwrap() error { return r.error }

// nameRequests puts every error into a request. The path of the request, before it becomes a URL of some endpoint, is
// AWS's name of the resource.
func (c *Client) nameRequests(stack *middleware.Stack) error {
	return stack.Build.Add(middleware.BuildMiddlewareFunc("NameRequests",
		func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleBuild(ctx, in)
			sent, ok := in.Request.(*smithyhttp.Request)
			if err == nil || !ok {
				return out, metadata, err
			}
			return out, metadata, &request{
				error: err, client: c, verb: sent.Method, resource: resourceOf(sent),
				service: awsmiddleware.GetServiceID(ctx), operation: awsmiddleware.GetOperationName(ctx),
			}
		}), middleware.Before)
}

// resourceOf takes the API's version off Lambda's paths, and keeps the qualifier of its queries.
func resourceOf(sent *smithyhttp.Request) string {
	path := strings.Trim(sent.URL.Path, "/")
	if _, functions, ok := strings.Cut(path, "/functions"); ok {
		path = "functions" + functions
	}
	if qualifier := sent.URL.Query().Get("Qualifier"); qualifier != "" {
		path += "?Qualifier=" + qualifier
	}
	return path
}

// permission is the IAM action that the request needs, and on what.
func (r *request) permission() (action, arn string) {
	partition := "aws"
	switch region := r.client.region; {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	switch r.service {
	case "API Gateway":
		return "apigateway:" + r.verb, "arn:" + partition + ":apigateway:" + r.client.region + "::/" + r.resource
	case "Lambda":
		function, _, _ := strings.Cut(strings.TrimPrefix(r.resource, "functions/"), "/")
		return "lambda:" + r.operation, "arn:" + partition + ":lambda:" + r.client.region + ":" + r.client.account + ":function:" + function
	}
	prefix := map[string]string{"CloudWatch Logs": "logs", "CloudWatch": "cloudwatch", "CodeDeploy": "codedeploy", "IAM": "iam", "STS": "sts"}[r.service]
	return prefix + ":" + r.operation, "*"
}
