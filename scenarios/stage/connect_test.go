package stage

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func TestWhere(t *testing.T) {
	for endpoint, want := range map[string]string{
		"": "AWS account 123456789012, eu-west-1, API ab12, stage prod",
		"https://vpce-1.apigateway.eu-west-1.vpce.amazonaws.com": "AWS account 123456789012, eu-west-1, API ab12, stage prod",
		"http://amazonaws.com.example":                           "NOT AWS: http://amazonaws.com.example, API ab12, stage prod",
	} {
		c := newClient(aws.Config{Region: "eu-west-1"}, endpoint)
		c.account = "123456789012"
		if got := c.Where(Ref{API: "ab12", Stage: "prod"}); got != want {
			t.Errorf("%q: %s", endpoint, got)
		}
		real := !strings.HasPrefix(want, "NOT AWS")
		if url := c.InvokeURL(Ref{API: "ab12", Stage: "prod", Path: "/products"}); c.Real() != real || real != (url == "https://ab12.execute-api.eu-west-1.amazonaws.com/prod/products") {
			t.Errorf("%q: %v, %s", endpoint, c.Real(), url)
		}
	}
}

func TestLoopback(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"http://127.0.0.1:4566": true, "http://localhost:4566": true, "http://[::1]:1": true, "http://127.8.8.8": true,
		"": false, "http://0.0.0.0:1": false, "http://10.0.0.1": false, "http://localhost.example.com": false, "http://user@10.0.0.1#127.0.0.1": false,
	} {
		if isLoopback(endpoint) != want {
			t.Errorf("%q: %v", endpoint, !want)
		}
	}
}

// Trouble on the way to AWS is one line that says what to do something about.
func TestTroubleIsOneLine(t *testing.T) {
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	check := func(name string, c Config, is error, says ...string) {
		t.Helper()
		start := time.Now()
		_, err := Connect(t.Context(), c)
		if err == nil || (is != nil && !errors.Is(err, is)) {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, want := range says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %q", name, want, err)
			}
		}
		if text := err.Error(); strings.Contains(text, "\n") || len(text) > 200 || strings.Contains(text, "failed to") || strings.Contains(text, "operation error") {
			t.Errorf("%s: not one short line: %s", name, text)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	check("nobody listens", Config{Endpoint: "http://127.0.0.1:1"}, ErrUnreachable, "connect to NOT AWS: http://127.0.0.1:", "GetCallerIdentity", "unreachable: ", "connection refused")
	check("hangs up", Config{Endpoint: serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })}, ErrUnreachable, "GetCallerIdentity: no answer: EOF")
	check("not AWS at all", Config{Endpoint: serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.Write([]byte("<html>no")) })}, nil, "GetCallerIdentity: ", "404")
	check("expired", Config{Endpoint: serve(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(403)
		w.Write([]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>`))
	})}, ErrCredentials, "GetCallerIdentity: ExpiredToken: The security token included in the request is expired")
	check("not a URL", Config{Endpoint: "localhost:4566"}, nil, "not an http or https URL")
	check("password", Config{Endpoint: "http://user:secret@127.0.0.1"}, nil, "must not carry")
	check("no credentials", Config{Region: "eu-west-1"}, ErrCredentials, "connect to AWS eu-west-1: no usable AWS credentials")
	check("no region", Config{}, nil, "no AWS region")
	check("no such profile", Config{Profile: "nobody", Region: "eu-west-1"}, ErrCredentials, "AWS profile nobody does not exist")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, Config{Endpoint: "http://127.0.0.1:1"}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("cancelled: %v", err)
	}
}

// $AWS_ENDPOINT_URL is the endpoint, as for AWS's own tools, and a service's
// own variable does not lead a request elsewhere.
func TestEndpointFromEnvironment(t *testing.T) {
	asked := map[string]int{}
	answer := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[name]++
			w.Header().Set("Content-Type", "text/xml")
			w.Write([]byte(`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	t.Setenv("AWS_ENDPOINT_URL", answer("all"))
	t.Setenv("AWS_ENDPOINT_URL_STS", answer("sts"))
	t.Setenv("AWS_REGION", "eu-north-1")
	c, err := Connect(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Loopback() || c.Account() != "111122223333" || c.Region() != "eu-north-1" || asked["all"] != 1 || asked["sts"] != 0 {
		t.Errorf("%v %s %s %v", c.Loopback(), c.Account(), c.Region(), asked)
	}
}

// No service is led elsewhere by a variable of its own, whoever makes its client.
func TestNoEndpointOfAService(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_LOGS", "https://logs.example.com")
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "https://logs.example.com")
	t.Setenv("AWS_ENDPOINT_URL_IAM", "https://iam.example.com")
	t.Setenv("AWS_ENDPOINT_URL_API_GATEWAY", "https://apigateway.example.com")
	for _, endpoint := range []string{"", "https://10.0.0.1"} {
		cfg, err := load(t.Context(), Config{Region: "eu-west-1"}, endpoint)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(cfg, endpoint)
		for name, got := range map[string]*string{
			"logs":    cloudwatchlogs.NewFromConfig(c.AWS()).Options().BaseEndpoint,
			"iam":     iam.NewFromConfig(c.AWS()).Options().BaseEndpoint,
			"gateway": c.Gateway().Options().BaseEndpoint,
		} {
			if endpoint == "" && got != nil || endpoint != "" && (got == nil || *got != endpoint) {
				t.Errorf("endpoint %q: %s goes to %q", endpoint, name, aws.ToString(got))
			}
		}
	}
}
