package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Answer is what is known of a question.
type Answer string

// The zero value is the safe one: what was not read is not known.
const (
	Unknown Answer = ""
	Yes     Answer = "yes"
	No      Answer = "no"
)

// Side is what answers on one side of the split, as far as it could be read.
type Side struct {
	Function      string             `json:"function"`            // name
	Qualifier     string             `json:"qualifier,omitempty"` // as the integration spells it: an alias, a version or none
	Alias         string             `json:"alias,omitempty"`     // "" where the integration names a version or none
	Version       string             `json:"version,omitempty"`   // "" where the alias is missing or was not read
	Missing       bool               `json:"missing,omitempty"`   // there is no such alias, version or function
	Weights       map[string]float64 `json:"weights,omitempty"`   // additional version -> share of the alias's traffic, 0 to 1
	AsRole        bool               `json:"as_role,omitempty"`   // invoked with the integration's role, not by the function's policy
	Invocable     Answer             `json:"invocable,omitempty"` // by this API, stage and method, by the function's policy
	Configuration *Configuration     `json:"configuration,omitempty"`
	Provisioned   *int               `json:"provisioned,omitempty"` // environments kept warm for this qualifier; nil: not read
	Unread        []Unread           `json:"unread,omitempty"`
}

// Configuration is what a version runs with.
type Configuration struct {
	Memory       int      `json:"memory"`  // MB
	Timeout      int      `json:"timeout"` // seconds
	Runtime      string   `json:"runtime,omitempty"`
	Layers       []string `json:"layers,omitempty"` // ARNs, versions included
	SnapStart    bool     `json:"snap_start,omitempty"`
	Architecture string   `json:"architecture"` // x86_64, arm64
}

// Unread is something that could not be read.
type Unread struct {
	Operation string `json:"operation"`        // "GetPolicy"
	Why       string `json:"why"`              // one line
	Denied    bool   `json:"denied,omitempty"` // for want of a permission
}

// Name is function and qualifier, as Lambda's ARNs end.
func (s Side) Name() string {
	if s.Qualifier == "" {
		return s.Function
	}
	return s.Function + ":" + s.Qualifier
}

// NotRead is why an operation's answer is not known; nil when it is.
func (s Side) NotRead(operation string) *Unread {
	for _, u := range s.Unread {
		if u.Operation == operation {
			return &u
		}
	}
	return nil
}

func (s Side) sameAs(other Side) bool {
	return s.Function == other.Function && s.Qualifier == other.Qualifier
}

// examineSide reads what there is to know; without a source nothing of who may invoke it. An alias that could not be read is an error, unless a permission is
// lacking; the rest is a fact that is not known.
func (c *Client) examineSide(ctx context.Context, s *Side, source string) error {
	var (
		wait     sync.WaitGroup
		aliasErr error
		errs     [3]error
		now      = *s
	)
	if s.Alias != "" && s.Version == "" {
		wait.Go(func() { aliasErr = c.lookUp(ctx, &now) })
	}
	if !s.AsRole && source != "" {
		wait.Go(func() { s.Invocable, errs[0] = c.invocable(ctx, s.Function, s.Qualifier, source) })
	}
	wait.Go(func() { s.Configuration, errs[1] = c.configuration(ctx, s.Function, s.Qualifier) })
	if s.Qualifier != "" && s.Qualifier != "$LATEST" { // the only ones that can have it
		wait.Go(func() { s.Provisioned, errs[2] = c.provisioned(ctx, s.Function, s.Qualifier) })
	}
	wait.Wait()
	s.Version, s.Weights, s.Missing = now.Version, now.Weights, now.Missing
	s.Missing = s.Missing || s.Alias == "" && IsNotFound(errs[1]) // a version that the integration names, or all of the function
	if s.Missing {
		s.Invocable, s.Configuration, s.Provisioned = Unknown, nil, nil
		return nil
	}
	if aliasErr != nil && !IsDenied(aliasErr) {
		return fmt.Errorf("alias %s of %s: %w", s.Alias, s.Function, aliasErr)
	}
	for i, operation := range []string{"GetPolicy", "GetFunctionConfiguration", "GetProvisionedConcurrencyConfig"} {
		s.unread(operation, errs[i])
	}
	s.unread("GetAlias", aliasErr)
	return nil
}

func (s *Side) unread(operation string, err error) {
	if err != nil {
		s.Unread = append(s.Unread, Unread{Operation: operation, Why: Brief(err), Denied: IsDenied(err)})
	}
}

func (c *Client) lookUp(ctx context.Context, s *Side) error {
	out, err := c.lambda.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &s.Function, Name: &s.Alias})
	if IsNotFound(err) {
		s.Missing = true
		return nil
	}
	if err != nil {
		return condense(err)
	}
	s.Version = text(out.FunctionVersion)
	if r := out.RoutingConfig; r != nil {
		s.Weights = r.AdditionalVersionWeights
	}
	return nil
}

func (c *Client) configuration(ctx context.Context, function, qualifier string) (*Configuration, error) {
	in := &lambda.GetFunctionConfigurationInput{FunctionName: &function}
	if qualifier != "" {
		in.Qualifier = &qualifier
	}
	out, err := c.lambda.GetFunctionConfiguration(ctx, in)
	if err != nil {
		return nil, condense(err)
	}
	conf := &Configuration{
		Memory: int(aws.ToInt32(out.MemorySize)), Timeout: int(aws.ToInt32(out.Timeout)), Runtime: string(out.Runtime),
		Architecture: string(types.ArchitectureX8664), // Lambda's default
		SnapStart:    out.SnapStart != nil && out.SnapStart.ApplyOn == types.SnapStartApplyOnPublishedVersions,
	}
	if len(out.Architectures) > 0 {
		conf.Architecture = string(out.Architectures[0])
	}
	for _, layer := range out.Layers {
		conf.Layers = append(conf.Layers, text(layer.Arn))
	}
	return conf, nil
}

func (c *Client) provisioned(ctx context.Context, function, qualifier string) (*int, error) {
	out, err := c.lambda.GetProvisionedConcurrencyConfig(ctx, &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: &function, Qualifier: &qualifier})
	var none *types.ProvisionedConcurrencyConfigNotFoundException
	if errors.As(err, &none) {
		return new(int), nil
	}
	if err != nil {
		return nil, condense(err)
	}
	return aws.Int(int(aws.ToInt32(out.AvailableProvisionedConcurrentExecutions))), nil
}

// deniedCodes are AWS's words for a permission that is lacking.
var deniedCodes = []string{"AccessDeniedException", "AccessDenied", "UnauthorizedException", "UnauthorizedOperation", "ForbiddenException"}

// IsDenied reports whether AWS refused for want of a permission.
func IsDenied(err error) bool {
	return slices.ContainsFunc(deniedCodes, func(code string) bool { return hasCode(err, code) })
}

// Brief is an error without what to do about it, for those who know better.
func Brief(err error) string {
	var refused *RequestError
	if errors.As(err, &refused) && refused.Remedy != "" {
		return strings.TrimSuffix(err.Error(), ": "+refused.Remedy)
	}
	return err.Error()
}
