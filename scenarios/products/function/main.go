// Command function is getProducts, the demonstration's Lambda function: it answers a list of products, and says which
// version it is. `coalmine stack up` builds it from this source and uploads it; see package products.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// event is what is needed of API Gateway's (AWS_PROXY, format 1.0). aws-lambda-go's type has no deploymentId, which tells a
// canary's requests from the others.
type event struct {
	RequestContext struct {
		Stage        string `json:"stage"`
		DeploymentID string `json:"deploymentId"`
		RequestID    string `json:"requestId"`
	} `json:"requestContext"`
}

// answer is what API Gateway takes; a key that it does not know would make it a 502.
type answer struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

type body struct {
	Message  string    `json:"message"`
	Version  string    `json:"version,omitempty"`
	Products []product `json:"products,omitempty"`
}

type product struct {
	ID    string  `json:"id"`
	Name  string  `json:"name"`
	Price float64 `json:"price"`
}

// The list is the same in every version: nothing but the marker tells them apart.
var products = []product{
	{"p-100", "lamp", 24.9},
	{"p-101", "pickaxe", 39.5},
	{"p-102", "helmet", 54},
	{"p-103", "canary cage", 89.9},
}

func main() {
	log.SetFlags(0) // Lambda adds the time
	// One build serves all releases, beside a file that names the release: the package.
	release, err := os.ReadFile(filepath.Join(os.Getenv("LAMBDA_TASK_ROOT"), "release"))
	if err != nil {
		log.Fatalf("read the package's release: %v", err)
	}
	log.Printf("getProducts release %s, version %s", strings.TrimSpace(string(release)), lambdacontext.FunctionVersion)
	lambda.Start(getProducts)
}

func getProducts(ctx context.Context, e event) (answer, error) {
	asked := askedOf(ctx)
	switch asked["coalmine-fault"] {
	case "crash":
		panic("getProducts: asked to crash")
	case "hang":
		time.Sleep(15 * time.Minute) // Lambda lets no function live that long
	}
	status, out := 200, body{Message: "getProducts: all products", Products: products}
	if asked["coalmine-fault"] == "error" {
		status, out = 500, body{Message: "getProducts: no products"}
		in := e.RequestContext
		log.Printf("request %s, stage %s, deployment %s: no products", in.RequestID, in.Stage, in.DeploymentID)
	}
	headers := map[string]string{"Content-Type": "application/json"}
	version, marker := lambdacontext.FunctionVersion, asked["coalmine-marker"]
	if marker != "header" && marker != "none" {
		out.Message += " v" + version
		out.Version = version
	}
	if marker != "body" && marker != "none" {
		headers["X-Lambda-Version"] = version
	}
	text, err := json.Marshal(out)
	return answer{status, headers, string(text)}, err
}

// askedOf is what a test bench asks of the function in the client context. API Gateway never sets one: whoever does may
// invoke the function directly.
func askedOf(ctx context.Context) map[string]string {
	lc, found := lambdacontext.FromContext(ctx)
	if !found {
		return nil
	}
	return lc.ClientContext.Custom
}
