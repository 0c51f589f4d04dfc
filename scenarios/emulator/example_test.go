package emulator_test

import (
	"context"
	"fmt"

	"coalmine/scenarios/emulator"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

func ExampleStart() {
	server, err := emulator.Start("127.0.0.1:0", emulator.Faults{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client := apigateway.New(apigateway.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(server.URL()),
		Credentials:  credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
	api, err := client.CreateRestApi(context.Background(), &apigateway.CreateRestApiInput{Name: aws.String("products")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(*api.Name, api.EndpointConfiguration.Types[0])
	// Output: products EDGE
}
