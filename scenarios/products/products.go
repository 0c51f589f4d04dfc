// Package products builds and removes the demonstration system: a function
// getProducts with three published versions, each behind an alias, and a REST
// API with GET /products whose stages prod, staging and dev name the alias
// their requests go to.
//
// It is made with the same SDK calls wherever it stands, everything tagged, and
// Down removes only what carries the tag.
package products

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coalmine/scenarios/stage"
)

const (
	// Name is the API's name, and the value of its tag.
	Name = "products"
	// Function is the Lambda function's name.
	Function = "getProducts"
	// Path and Method are what the API answers.
	Path   = "/products"
	Method = "GET"

	tagKey   = "coalmine:stack"
	variable = "lambdaAlias"
)

// releases are the stages and the version that each answers with: stage and
// alias have one name.
var releases = []struct{ stage, version string }{{"prod", "1"}, {"staging", "2"}, {"dev", "3"}}

func tags() map[string]string { return map[string]string{tagKey: Name} }

func tagged(tags map[string]string) bool { return tags[tagKey] == Name }

// System is the demonstration system as it stands.
type System struct {
	API      string  `json:"api"` // id
	Name     string  `json:"name"`
	Function string  `json:"function"`
	Stages   []Stage `json:"stages"`
}

// Stage is one of its stages.
type Stage struct {
	Name    string `json:"name"`
	Alias   string `json:"alias"`   // what the stage variable says
	Version string `json:"version"` // what the alias points at
	URL     string `json:"url"`     // GET it
}

// Stage is the stage of this name, the zero Stage when there is none.
func (s System) Stage(name string) Stage {
	i := slices.IndexFunc(s.Stages, func(one Stage) bool { return one.Name == name })
	if i < 0 {
		return Stage{}
	}
	return s.Stages[i]
}

// build is one Up or Down under way.
type build struct {
	c    *stage.Client
	iam  *iam.Client
	o    Options
	said []string
}

func (b *build) made(format string, args ...any) {
	b.said = append(b.said, "made "+fmt.Sprintf(format, args...))
}

func (b *build) found(format string, args ...any) {
	b.said = append(b.said, "found "+fmt.Sprintf(format, args...))
}

// Up makes what is missing of the system, and changes nothing that is there:
// an alias that was moved or a stage that was promoted stays so. The lines say
// what was made and what was found, in order, also up to an error.
func Up(ctx context.Context, c *stage.Client) (System, []string, error) {
	return UpWith(ctx, c, Options{})
}

// UpWith is Up with options.
func UpWith(ctx context.Context, c *stage.Client, o Options) (System, []string, error) {
	b := &build{c: c, iam: iam.NewFromConfig(c.AWS()), o: o}
	system, err := b.up(ctx)
	if err != nil {
		err = fmt.Errorf("stack up: %w", err)
	}
	return system, b.said, err
}

func (b *build) up(ctx context.Context) (System, error) {
	system := System{Name: Name, Function: Function}
	if b.o.Package == nil && b.c.Real() {
		return system, errPlaceholder
	}
	// All names are looked at before anything is made: half a system beside
	// somebody else's other half would help nobody.
	api, err := b.findAPI(ctx)
	if err != nil {
		return system, err
	}
	function, err := b.findFunction(ctx)
	if err != nil {
		return system, err
	}
	role, err := b.findRole(ctx)
	if err != nil {
		return system, err
	}
	if err := b.role(ctx, role); err != nil {
		return system, err
	}
	if err := b.function(ctx, function); err != nil {
		return system, err
	}
	if system.API, err = b.api(ctx, api); err != nil {
		return system, err
	}
	if err := b.permissions(ctx, system.API); err != nil {
		return system, err
	}
	if err := b.stages(ctx, system.API); err != nil {
		return system, err
	}
	if err := b.accessLog(ctx, system.API); err != nil {
		return system, err
	}
	for _, r := range releases {
		ref := stage.Ref{API: system.API, Stage: r.stage, Method: Method, Path: Path}
		target, err := b.c.Resolve(ctx, ref)
		if err != nil {
			return system, err
		}
		system.Stages = append(system.Stages, Stage{Name: r.stage, Alias: target.BaselineAlias, Version: target.BaselineVersion, URL: target.InvokeURL})
	}
	return system, nil
}

// Down removes what Up made, as much of it as there is, and says what that
// was. The stages, deployments and methods go with the API; the versions,
// aliases and permissions with the function, and then its role.
func Down(ctx context.Context, c *stage.Client) ([]string, error) {
	b := &build{c: c, iam: iam.NewFromConfig(c.AWS())}
	if err := b.down(ctx); err != nil {
		return b.said, fmt.Errorf("stack down: %w", err)
	}
	return b.said, nil
}

func (b *build) down(ctx context.Context) error {
	apis, _, err := b.listAPIs(ctx)
	if err != nil {
		return err
	}
	for _, id := range apis {
		err := b.allowed(ctx, 30*time.Second, func() error {
			_, err := b.c.Gateway().DeleteRestApi(ctx, &apigateway.DeleteRestApiInput{RestApiId: &id})
			return err
		})
		if err != nil && !stage.IsNotFound(err) {
			return stage.Condense(err)
		}
		b.said = append(b.said, fmt.Sprintf("removed API %s (%s)", Name, id))
	}
	if err := b.removeLog(ctx); err != nil {
		return err
	}
	function, err := b.findFunction(ctx)
	if errors.Is(err, errForeign) { // what runs under our name may run as our role
		return nil
	}
	if err == nil && function {
		err = b.deleteFunction(ctx)
	}
	if err != nil {
		return err
	}
	role, err := b.findRole(ctx)
	if errors.Is(err, errForeign) || (err == nil && !role) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.deleteRole(ctx)
}

// errPlaceholder is that there is nothing to upload.
var errPlaceholder = errors.New("AWS runs what it is sent, and there is no package to send")

// errForeign is a thing with our name and without our tag.
var errForeign = fmt.Errorf("not made by coalmine (no tag %s=%s)", tagKey, Name)

// listAPIs are the APIs of our name: with our tag, and without.
func (b *build) listAPIs(ctx context.Context) (ours, others []string, err error) {
	pages := apigateway.NewGetRestApisPaginator(b.c.Gateway(), &apigateway.GetRestApisInput{Limit: aws.Int32(500)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, stage.Condense(err)
		}
		for _, api := range page.Items {
			switch {
			case aws.ToString(api.Name) != Name:
			case tagged(api.Tags):
				ours = append(ours, aws.ToString(api.Id))
			default:
				others = append(others, aws.ToString(api.Id))
			}
		}
	}
	return ours, others, nil
}
