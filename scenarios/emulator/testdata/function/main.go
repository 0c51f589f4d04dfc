// Command function is a Lambda function that does what its event asks for.
package main

import (
	"context"
	"log"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Path string `json:"path"` // from the gateway: what is asked for, after a slash
	Do   string `json:"do"`   // from Invoke
}

func main() {
	log.SetFlags(0)
	if why := os.Getenv("REFUSE"); why != "" {
		log.Fatal(why)
	}
	calls := 0
	lambda.Start(func(ctx context.Context, e event) (map[string]any, error) {
		calls++
		switch do := e.Do + strings.TrimPrefix(e.Path, "/"); do {
		case "panic":
			panic("as asked")
		case "exit":
			log.Print("leaving")
			os.Exit(3)
		case "hang":
			time.Sleep(time.Hour)
		case "large":
			return map[string]any{"body": strings.Repeat("x", 7<<20)}, nil
		case "log":
			log.Printf("line %d", calls)
		}
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{"statusCode": 200, "body": strings.Join([]string{
			lambdacontext.FunctionVersion, lc.InvokedFunctionArn[strings.LastIndex(lc.InvokedFunctionArn, ":")+1:],
			lc.ClientContext.Custom["said"],
			strings.Join(os.Environ(), "\n"),
		}, "|"), "headers": map[string]any{"pid": os.Getpid(), "calls": calls, "left": time.Until(deadline).Seconds() > 0}}, nil
	})
}
