package products

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"coalmine/scenarios/stage"
)

const (
	// role is what the function runs as: it may write its log, and nothing else.
	role     = "coalmine-" + Name
	logging  = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
	trusting = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

// findRole reports whether our role is there.
func (b *build) findRole(ctx context.Context) (bool, error) {
	out, err := b.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(role)})
	if hasCode(err, "NoSuchEntity") {
		return false, nil
	}
	if err != nil {
		return false, stage.Condense(err)
	}
	for _, tag := range out.Role.Tags {
		if aws.ToString(tag.Key) == tagKey && aws.ToString(tag.Value) == Name {
			return true, nil
		}
	}
	return false, fmt.Errorf("role %s is %w", role, errForeign)
}

// role makes what is missing of the role.
func (b *build) role(ctx context.Context, there bool) error {
	name := aws.String(role)
	if there {
		b.found("role %s", role)
	} else {
		_, err := b.iam.CreateRole(ctx, &iam.CreateRoleInput{
			RoleName: name, Description: aws.String("coalmine's demonstration"), AssumeRolePolicyDocument: aws.String(trusting),
			Tags: []types.Tag{{Key: aws.String(tagKey), Value: aws.String(Name)}},
		})
		if err != nil {
			return stage.Condense(err)
		}
		b.made("role %s", role)
	}
	out, err := b.iam.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name})
	if err != nil {
		return stage.Condense(err)
	}
	for _, each := range out.AttachedPolicies {
		if aws.ToString(each.PolicyArn) == logging {
			return nil
		}
	}
	_, err = b.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String(logging)})
	return stage.Condense(err)
}

func (b *build) deleteRole(ctx context.Context) error {
	_, err := b.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String(role), PolicyArn: aws.String(logging)})
	if err != nil && !hasCode(err, "NoSuchEntity") {
		return stage.Condense(err)
	}
	if _, err = b.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(role)}); err != nil && !hasCode(err, "NoSuchEntity") {
		return stage.Condense(err)
	}
	b.said = append(b.said, "removed role "+role)
	return nil
}

// assumed repeats what Lambda refuses because IAM has not told it of a new role yet, which takes seconds.
func (b *build) assumed(ctx context.Context, do func() error) error {
	return b.patiently(ctx, 2*time.Second, 30, func(err error) bool {
		return hasCode(err, "InvalidParameterValueException") && strings.Contains(err.Error(), "cannot be assumed by Lambda")
	}, do)
}

// allowed repeats what is more than a quota allows: quota is how long AWS wants between two.
func (b *build) allowed(ctx context.Context, quota time.Duration, do func() error) error {
	return b.patiently(ctx, quota, 3, func(err error) bool { return hasCode(err, "TooManyRequestsException") }, do)
}

func (b *build) patiently(ctx context.Context, pause time.Duration, times int, again func(error) bool, do func() error) error {
	if b.c.Loopback() {
		pause /= 1000
	}
	for ; ; times-- {
		err := do()
		if err == nil || times == 0 || !again(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}
