package products

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coalmine/scenarios/stage"
)

const waitTime = 2 * time.Minute

// findFunction reports whether our function is there.
func (b *build) findFunction(ctx context.Context) (bool, error) {
	out, err := b.c.Lambda().GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(Function)})
	switch {
	case stage.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, stage.Condense(err)
	case !tagged(out.Tags):
		return false, fmt.Errorf("function %s is %w", Function, errForeign)
	}
	return true, nil
}

// function makes what is missing of the function, its versions and aliases.
func (b *build) function(ctx context.Context, there bool) error {
	if there {
		b.found("function %s", Function)
	} else if err := b.createFunction(ctx); err != nil {
		return err
	}
	versions, err := b.versions(ctx)
	if err != nil {
		return err
	}
	for _, r := range releases {
		if number, ok := versions[r.version]; ok {
			b.found("version %s", number)
			continue
		}
		if versions[r.version], err = b.publish(ctx, r.version); err != nil {
			return err
		}
		b.made("version %s", versions[r.version])
	}
	for _, r := range releases {
		if err := b.alias(ctx, r.stage, versions[r.version]); err != nil {
			return err
		}
	}
	return nil
}

func (b *build) createFunction(ctx context.Context) error {
	code, err := b.code(ctx, releases[0].version)
	if err != nil {
		return err
	}
	in := &lambda.CreateFunctionInput{
		FunctionName:  aws.String(Function),
		Description:   aws.String("coalmine's demonstration: answers a list of products"),
		Runtime:       types.RuntimeProvidedal2023,
		Handler:       aws.String("bootstrap"),
		Architectures: []types.Architecture{types.ArchitectureArm64},
		Role:          aws.String(fmt.Sprintf("arn:aws:iam::%s:role/%s", b.c.Account(), role)),
		Code:          &types.FunctionCode{ZipFile: code},
		Tags:          tags(),
	}
	if b.o.Architecture == "amd64" {
		in.Architectures[0] = types.ArchitectureX8664
	}
	err = b.assumed(ctx, func() error {
		_, err := b.c.Lambda().CreateFunction(ctx, in)
		return err
	})
	if err != nil {
		return stage.Condense(err)
	}
	b.made("function %s", Function)
	wait := lambda.NewFunctionActiveV2Waiter(b.c.Lambda(), func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 5*time.Second
	})
	return stage.Condense(wait.Wait(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(Function)}, waitTime))
}

// versions are the published versions by the release that they are: the
// description says it, since numbers go on counting after a repair.
func (b *build) versions(ctx context.Context) (map[string]string, error) {
	byRelease := map[string]string{}
	pages := lambda.NewListVersionsByFunctionPaginator(b.c.Lambda(), &lambda.ListVersionsByFunctionInput{FunctionName: aws.String(Function)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, stage.Condense(err)
		}
		for _, v := range page.Versions {
			for _, r := range releases {
				if aws.ToString(v.Description) == description(r.version) && aws.ToString(v.Version) != "$LATEST" {
					byRelease[r.version] = aws.ToString(v.Version)
				}
			}
		}
	}
	return byRelease, nil
}

// publish puts a release's code into $LATEST and publishes that. The code goes
// up first though it may be there already: after a break nobody knows, and AWS
// publishes unchanged code as the version it was.
func (b *build) publish(ctx context.Context, release string) (string, error) {
	code, err := b.code(ctx, release)
	if err != nil {
		return "", err
	}
	fn := aws.String(Function)
	if _, err := b.c.Lambda().UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: fn, ZipFile: code}); err != nil {
		return "", stage.Condense(err)
	}
	updated := lambda.NewFunctionUpdatedV2Waiter(b.c.Lambda(), func(o *lambda.FunctionUpdatedV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 5*time.Second
	})
	if err := updated.Wait(ctx, &lambda.GetFunctionInput{FunctionName: fn}, waitTime); err != nil {
		return "", stage.Condense(err)
	}
	out, err := b.c.Lambda().PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: fn, Description: aws.String(description(release))})
	if err != nil {
		return "", stage.Condense(err)
	}
	active := lambda.NewPublishedVersionActiveWaiter(b.c.Lambda(), func(o *lambda.PublishedVersionActiveWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 5*time.Second
	})
	err = active.Wait(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: fn, Qualifier: out.Version}, waitTime)
	return aws.ToString(out.Version), stage.Condense(err)
}

func (b *build) alias(ctx context.Context, name, version string) error {
	out, err := b.c.Lambda().GetAlias(ctx, &lambda.GetAliasInput{FunctionName: aws.String(Function), Name: &name})
	if err == nil {
		b.found("alias %s -> version %s", name, aws.ToString(out.FunctionVersion))
		return nil
	}
	if !stage.IsNotFound(err) {
		return stage.Condense(err)
	}
	_, err = b.c.Lambda().CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: aws.String(Function), Name: &name, FunctionVersion: &version})
	if err != nil {
		return stage.Condense(err)
	}
	b.made("alias %s -> version %s", name, version)
	return nil
}

func (b *build) deleteFunction(ctx context.Context) error {
	_, err := b.c.Lambda().DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String(Function)})
	if err != nil && !stage.IsNotFound(err) {
		return stage.Condense(err)
	}
	b.said = append(b.said, fmt.Sprintf("removed function %s", Function))
	return nil
}

func (b *build) code(ctx context.Context, release string) ([]byte, error) {
	if b.o.Package != nil {
		return b.o.Package(ctx, release)
	}
	return placeholder(ctx, release)
}

func description(release string) string { return "all products v" + release }
