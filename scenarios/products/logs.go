package products

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"coalmine/scenarios/stage"
)

// LogGroup takes the stages' access log. The requests of a canary are logged a second time, in LogGroup/Canary, which
// API Gateway makes.
const LogGroup = "/coalmine/" + Name

// logFormat says of each request what coalmine report --access-log looks for. No value in it may hold a quote.
const logFormat = `{"requestId":"$context.requestId","isCanaryRequest":"$context.isCanaryRequest","status":"$context.status",` +
	`"deploymentId":"$context.deploymentId","stage":"$context.stage","requestTimeEpoch":"$context.requestTimeEpoch",` +
	`"responseLatency":"$context.responseLatency","errorType":"$context.error.responseType"}`

func (b *build) logs() *cloudwatchlogs.Client { return cloudwatchlogs.NewFromConfig(b.c.AWS()) }

func (b *build) logGroupARN(name string) string {
	return fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", b.c.Region(), b.c.Account(), name)
}

// accessLog lets the stages log, where they do not log already. The system works without: a refusal is said, and no more.
// AWS refuses where the account has no role with which API Gateway may write.
func (b *build) accessLog(ctx context.Context, api string) error {
	err := b.logStages(ctx, api)
	if refused(err) {
		b.said = append(b.said, fmt.Sprintf("no access log: %v; once AWS allows it (the account's CloudWatch role: API Gateway, Settings), stack up makes it", err))
		return nil
	}
	return err
}

// refused reports whether AWS answered, and said no.
func refused(err error) bool {
	var answer *stage.RequestError
	return errors.As(err, &answer) && answer.Code != ""
}

func (b *build) logStages(ctx context.Context, api string) error {
	there, err := b.c.Gateway().GetStages(ctx, &apigateway.GetStagesInput{RestApiId: &api})
	if err != nil {
		return stage.Condense(err)
	}
	var silent []string
	for _, s := range there.Item {
		if name := aws.ToString(s.StageName); s.AccessLogSettings == nil && ours(name) {
			silent = append(silent, name)
		}
	}
	if len(silent) == 0 {
		b.found("access log %s", LogGroup)
		return nil
	}
	name := LogGroup
	_, err = b.logs().CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name, Tags: tags()})
	var exists *logtypes.ResourceAlreadyExistsException
	if err != nil && !errors.As(err, &exists) {
		return stage.Condense(err)
	}
	arn, format := b.logGroupARN(LogGroup), logFormat
	for _, name := range silent {
		_, err := b.c.Gateway().UpdateStage(ctx, &apigateway.UpdateStageInput{RestApiId: &api, StageName: &name, PatchOperations: []types.PatchOperation{
			{Op: types.OpReplace, Path: aws.String("/accessLogSettings/destinationArn"), Value: &arn},
			{Op: types.OpReplace, Path: aws.String("/accessLogSettings/format"), Value: &format},
		}})
		if err != nil {
			return stage.Condense(err)
		}
		b.made("access log of stage %s in %s", name, LogGroup)
	}
	return nil
}

func ours(name string) bool {
	for _, r := range releases {
		if r.stage == name {
			return true
		}
	}
	return false
}

// removeLog removes the log group that carries our tag, and its twin, which API Gateway made and nobody tagged.
func (b *build) removeLog(ctx context.Context) error {
	err := b.deleteLog(ctx)
	if refused(err) {
		b.said = append(b.said, fmt.Sprintf("kept log group %s, if there is one: %v", LogGroup, err))
		return nil
	}
	return err
}

func (b *build) deleteLog(ctx context.Context) error {
	logs, name := b.logs(), LogGroup
	out, err := logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: aws.String(b.logGroupARN(name))})
	if stage.IsNotFound(err) || err == nil && !tagged(out.Tags) {
		return nil
	}
	if err != nil {
		return stage.Condense(err)
	}
	for _, name := range []string{LogGroup + "/Canary", LogGroup} {
		_, err := logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &name})
		if stage.IsNotFound(err) {
			continue
		}
		if err != nil {
			return stage.Condense(err)
		}
		b.said = append(b.said, "removed log group "+name)
	}
	return nil
}
