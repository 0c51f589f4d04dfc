package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// gate is a function that stays under way until it is opened; entered has one for each that is.
type gate struct{ entered, open chan struct{} }

func (s *stack) gate() *gate {
	g := &gate{make(chan struct{}, 100), make(chan struct{})}
	s.server.Handle("getProducts", func(ctx context.Context, in Invocation) (json.RawMessage, error) {
		g.entered <- struct{}{}
		select {
		case <-g.open:
		case <-ctx.Done():
		}
		return json.RawMessage(`{"statusCode":200,"body":"` + in.Version + `"}`), nil
	})
	return g
}

// hold keeps n requests to a stage under way until the function that is returned is called.
func (s *stack) hold(g *gate, stage string, n int) (release func()) {
	s.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if g := s.get(stage, "/products"); g.status != 200 {
				s.Errorf("a request within the limit: %+v", g)
			}
		})
	}
	for range n {
		<-g.entered
	}
	return func() { close(g.open); all.Wait() }
}

func (s *stack) invokeOnce(qualifier string) error {
	_, err := s.lambda.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String("getProducts"), Qualifier: &qualifier},
		func(o *lambda.Options) { o.RetryMaxAttempts = 1 })
	return err
}

func (s *stack) reserve(n int32) error {
	_, err := s.lambda.PutFunctionConcurrency(context.Background(), &lambda.PutFunctionConcurrencyInput{
		FunctionName: aws.String("getProducts"), ReservedConcurrentExecutions: &n})
	return err
}

func (s *stack) provision(qualifier string, n int32) (*lambda.PutProvisionedConcurrencyConfigOutput, error) {
	return s.lambda.PutProvisionedConcurrencyConfig(context.Background(), &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: aws.String("getProducts"), Qualifier: &qualifier, ProvisionedConcurrentExecutions: &n})
}

func (s *stack) provisioned(qualifier string) (string, int32) {
	out, err := s.lambda.GetProvisionedConcurrencyConfig(context.Background(), &lambda.GetProvisionedConcurrencyConfigInput{
		FunctionName: aws.String("getProducts"), Qualifier: &qualifier})
	if err != nil {
		return code(err), 0
	}
	return string(out.Status), *out.AvailableProvisionedConcurrentExecutions
}

func TestConcurrencyOfAccount(t *testing.T) {
	s := startStack(t, Faults{Lambda: Lambda{Concurrency: 3}})
	s.logAccess("dev", "access")
	g := s.gate()
	release := s.hold(g, "prod", 3)
	over := s.get("dev", "/products")
	if over.status != 500 || over.body != `{"message": "Internal server error"}` || over.header.Get("X-Lambda-Version") != "" {
		t.Errorf("one too many: %+v", over)
	}
	lines, _ := s.lines("access", "", 10)
	if len(lines) != 1 || lines[0].Status != "500" || lines[0].ResponseType != "INTEGRATION_FAILURE" || lines[0].Lambda == "-" {
		t.Errorf("logged: %+v", lines)
	}
	err := s.invokeOnce("staging")
	var many *lambdatypes.TooManyRequestsException
	if !errors.As(err, &many) || many.Reason != "ConcurrentInvocationLimitExceeded" || *many.RetryAfterSeconds != "1" || *many.Message != "Rate Exceeded." {
		t.Errorf("invoke: %v", err)
	}
	release()
	if n := s.server.plane.unreserved.taken.Load(); n != 0 {
		t.Errorf("%d seats are still taken", n)
	}
	if g := s.get("dev", "/products"); g.status != 200 {
		t.Errorf("after: %+v", g)
	}
}

func TestReservedConcurrency(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	settings := func() (limit, unreserved int32) {
		out, err := s.lambda.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
		s.must(err)
		if out.AccountUsage.FunctionCount != 1 {
			t.Errorf("%d functions", out.AccountUsage.FunctionCount)
		}
		return out.AccountLimit.ConcurrentExecutions, *out.AccountLimit.UnreservedConcurrentExecutions
	}
	if limit, left := settings(); limit != 1000 || left != 1000 {
		t.Errorf("%d of %d left", left, limit)
	}
	if err := s.reserve(901); code(err) != "InvalidParameterValueException" {
		t.Errorf("901 of 1000: %v", err)
	}
	s.must(s.reserve(900))
	s.must(s.reserve(2))
	if limit, left := settings(); limit != 1000 || left != 998 {
		t.Errorf("%d of %d left", left, limit)
	}
	f, err := s.lambda.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("getProducts")})
	if s.must(err); f.Concurrency == nil || *f.Concurrency.ReservedConcurrentExecutions != 2 {
		t.Errorf("%+v", f.Concurrency)
	}
	release := s.hold(s.gate(), "prod", 2)
	err = s.invokeOnce("staging")
	var many *lambdatypes.TooManyRequestsException
	if !errors.As(err, &many) || many.Reason != "ReservedFunctionConcurrentInvocationLimitExceeded" {
		t.Errorf("a third: %v", err)
	}
	release()
	s.must(s.reserve(0))
	if g := s.get("prod", "/products"); g.status != 500 {
		t.Errorf("with 0 reserved: %+v", g)
	}
	_, err = s.lambda.DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: aws.String("getProducts")})
	s.must(err)
	got, err := s.lambda.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: aws.String("getProducts")})
	if s.must(err); got.ReservedConcurrentExecutions != nil {
		t.Errorf("%d reserved", *got.ReservedConcurrentExecutions)
	}
	if g := s.get("prod", "/products"); g.status != 200 {
		t.Errorf("without a reservation: %+v", g)
	}
}

// TestProvisionedConcurrency: what is provisioned is warm, when it is ready; what goes beyond it is cold.
func TestProvisionedConcurrency(t *testing.T) {
	const cold = 400 * time.Millisecond
	versions := map[string]Version{"1": {ColdStart: cold}, "2": {ColdStart: time.Hour}}
	s := startStack(t, Faults{Versions: versions})
	if status, _ := s.provisioned("prod"); status != "ProvisionedConcurrencyConfigNotFoundException" {
		t.Error(status)
	}
	p, err := s.provision("staging", 2)
	s.must(err)
	if status, n := s.provisioned("staging"); p.Status != "READY" || status != "READY" || n != 2 {
		t.Errorf("%s, %s, %d", p.Status, status, n)
	}
	if g := s.get("staging", "/products"); g.status != 200 || g.header.Get("X-Lambda-Version") != "2" { // cold, it would be a timeout
		t.Errorf("%+v", g)
	}
	began := time.Now()
	if g := s.get("prod", "/products"); g.status != 200 || time.Since(began) < cold {
		t.Errorf("not provisioned, and warm after %v: %+v", time.Since(began), g)
	}

	// The alias moves, and its environments have to be made again.
	s.must(s.server.SetFaults(Faults{Versions: versions, Lambda: Lambda{ProvisionTime: time.Hour}}))
	_, err = s.lambda.UpdateAlias(context.Background(), &lambda.UpdateAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String("staging"), Description: aws.String("x")})
	s.must(err)
	if status, n := s.provisioned("staging"); status != "READY" || n != 2 {
		t.Errorf("another description: %s, %d", status, n)
	}
	_, err = s.lambda.UpdateAlias(context.Background(), &lambda.UpdateAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String("staging"), FunctionVersion: aws.String("3")})
	s.must(err)
	if status, n := s.provisioned("staging"); status != "IN_PROGRESS" || n != 0 {
		t.Errorf("another version: %s, %d", status, n)
	}
	list, err := s.lambda.ListProvisionedConcurrencyConfigs(context.Background(), &lambda.ListProvisionedConcurrencyConfigsInput{FunctionName: aws.String("getProducts")})
	if s.must(err); len(list.ProvisionedConcurrencyConfigs) != 1 || *list.ProvisionedConcurrencyConfigs[0].FunctionArn != "arn:aws:lambda:eu-central-1:000000000000:function:getProducts:staging" {
		t.Errorf("%+v", list.ProvisionedConcurrencyConfigs)
	}
	_, err = s.lambda.DeleteProvisionedConcurrencyConfig(context.Background(), &lambda.DeleteProvisionedConcurrencyConfigInput{FunctionName: aws.String("getProducts"), Qualifier: aws.String("staging")})
	s.must(err)
	if status, _ := s.provisioned("staging"); status != "ProvisionedConcurrencyConfigNotFoundException" {
		t.Error(status)
	}
}

// TestProvisionedSpill: seats that are provisioned come out of the account's, and requests beyond them use what is left.
func TestProvisionedSpill(t *testing.T) {
	s := startStack(t, Faults{Lambda: Lambda{Concurrency: 13}})
	_, err := s.provision("prod", 3)
	s.must(err)
	release := s.hold(s.gate(), "prod", 13) // 3 provisioned, 10 others
	if err := s.invokeOnce("staging"); code(err) != "TooManyRequestsException" {
		t.Errorf("the 14th: %v", err)
	}
	release()
	if _, err := s.provision("prod", 4); code(err) != "InvalidParameterValueException" { // leaves 9 of 13
		t.Errorf("4 of 13: %v", err)
	}
}

func TestProvisionedWeights(t *testing.T) {
	s := startStack(t, Faults{})
	_, err := s.lambda.UpdateAlias(context.Background(), &lambda.UpdateAliasInput{FunctionName: aws.String("getProducts"), Name: aws.String("prod"),
		RoutingConfig: &lambdatypes.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.3}}})
	s.must(err)
	_, err = s.provision("prod", 10)
	s.must(err)
	shares := s.server.plane.function("getProducts").provisioned["prod"].shares
	if len(shares) != 2 || shares["1"].size != 7 || shares["2"].size != 3 {
		t.Errorf("%+v", shares)
	}
}

func TestProvisionedRefusals(t *testing.T) {
	s := startStack(t, Faults{})
	s.must(s.reserve(5))
	_, err := s.provision("prod", 3)
	s.must(err)
	for _, c := range []struct {
		qualifier string
		n         int32
		want      string
	}{
		{"$LATEST", 1, "InvalidParameterValueException"},
		{"none", 1, "ResourceNotFoundException"},
		{"9", 1, "ResourceNotFoundException"},
		{"staging", 3, "InvalidParameterValueException"}, // 6 of 5 reserved
		{"1", 1, "ResourceConflictException"},            // prod has it
		{"staging", 0, "ValidationException"},
	} {
		if _, err := s.provision(c.qualifier, c.n); code(err) != c.want {
			t.Errorf("%s %d: %v, want %s", c.qualifier, c.n, err, c.want)
		}
	}
	if err := s.reserve(2); code(err) != "InvalidParameterValueException" {
		t.Errorf("less reserved than provisioned: %v", err)
	}
}

func TestVersionSettings(t *testing.T) {
	s := startStack(t, Faults{})
	ctx := context.Background()
	name := aws.String("getProducts")
	_, err := s.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: name, MemorySize: aws.Int32(512), Timeout: aws.Int32(9),
		Layers: []string{"arn:aws:lambda:eu-central-1:000000000000:layer:l:1"}, SnapStart: &lambdatypes.SnapStart{ApplyOn: "PublishedVersions"},
		Environment: &lambdatypes.Environment{Variables: map[string]string{"A": "b"}}})
	s.must(err)
	v, err := s.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name})
	s.must(err)
	again, err := s.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name})
	if s.must(err); *again.Version != *v.Version {
		t.Errorf("nothing changed, and yet version %s follows %s", *again.Version, *v.Version)
	}
	show := func(q string) string {
		c, err := s.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: name, Qualifier: &q})
		s.must(err)
		text := fmt.Sprint(*c.MemorySize, " ", *c.Timeout, " ", c.SnapStart.ApplyOn, " ", c.SnapStart.OptimizationStatus)
		for _, l := range c.Layers {
			text += " " + *l.Arn
		}
		if c.Environment != nil {
			text += fmt.Sprint(" ", c.Environment.Variables)
		}
		return text
	}
	if got, want := show(*v.Version), "512 9 PublishedVersions On arn:aws:lambda:eu-central-1:000000000000:layer:l:1 map[A:b]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := show("prod"), "128 3 None Off"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestSeats: however many try at once, no more than the limit get one, and none is lost.
func TestSeats(t *testing.T) {
	var s seats
	var most gauge
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				if s.take(3) {
					most.enter(1)
					most.leave()
					s.taken.Add(-1)
				}
			}
		})
	}
	all.Wait()
	if peak, _ := most.peaks.at(1); peak == 0 || peak > 3 || s.taken.Load() != 0 {
		t.Errorf("%d at once, %d left", peak, s.taken.Load())
	}
}
