package stage

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) Do(r *http.Request) (*http.Response, error) { return f(r) }

// Off loopback no verb sends anything, not even a question.
func TestNothingIsChangedOffLoopback(t *testing.T) {
	ctx := t.Context()
	ref := Ref{API: "ab12", Stage: "prod"}
	for _, endpoint := range []string{"", "https://apigateway.eu-west-1.amazonaws.com", "http://192.0.2.1:4566", "http://localhost.example.com", "http://127.0.0.1.example.com"} {
		sent := 0
		c := newClient(aws.Config{
			Region:      "eu-west-1",
			Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
			HTTPClient:  roundTripper(func(*http.Request) (*http.Response, error) { sent++; return nil, errors.New("sent") }),
		}, endpoint)
		c.account = "123456789012"
		j, err := c.OpenJournal(t.TempDir(), ref)
		if err != nil {
			t.Fatal(err)
		}
		for name, verb := range map[string]func() (Change, error){
			"create":   func() (Change, error) { return c.CreateCanary(ctx, j, ref, 5, nil) },
			"percent":  func() (Change, error) { return c.SetPercent(ctx, j, ref, 5) },
			"deploy":   func() (Change, error) { return c.DeployCanary(ctx, j, ref, "") },
			"promote":  func() (Change, error) { return c.Promote(ctx, j, ref, State{Canary: &Canary{}}) },
			"keeping":  func() (Change, error) { return c.PromoteKeeping(ctx, j, ref, State{Canary: &Canary{}}) },
			"abort":    func() (Change, error) { return c.Abort(ctx, j, ref) },
			"rollback": func() (Change, error) { return c.Rollback(ctx, j, ref, State{}) },
			"restore":  func() (Change, error) { return c.Restore(ctx, j, ref, State{}) },
		} {
			if _, err := verb(); !errors.Is(err, ErrNotLoopback) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s on %q: %v", name, endpoint, err)
			}
		}
		path := j.Path()
		j.Close()
		os.WriteFile(path, []byte(`{"story":{"id":"1","account":"123456789012","region":"eu-west-1","endpoint":"`+endpoint+`","ref":{"api":"ab12","stage":"prod"}}}`+"\n"+`{"begun":{"verb":"create canary"}}`+"\n"), 0o600)
		if _, err := c.Recover(ctx, path); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("recover on %q: %v", endpoint, err)
		}
		if sent > 0 {
			t.Errorf("%d requests to %q", sent, endpoint)
		}
		if where := c.Where("ab12", "prod"); endpoint == "" && where != "AWS account 123456789012, eu-west-1, API ab12, stage prod" {
			t.Error(where)
		}
		if endpoint == "" {
			if got := c.InvokeURL(Ref{API: "ab12", Stage: "prod", Path: "/products"}); got != "https://ab12.execute-api.eu-west-1.amazonaws.com/prod/products" {
				t.Error(got)
			}
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
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
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
	check("nobody listens", Config{Endpoint: "http://" + closed.Addr().String()}, ErrUnreachable, "connect to NOT AWS: http://127.0.0.1:", "GetCallerIdentity", "unreachable: ", "connection refused")
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
	if _, err := Connect(ctx, Config{Endpoint: "http://" + closed.Addr().String()}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cancelled") {
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
