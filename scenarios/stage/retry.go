package stage

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	maxAttempts = 5
	maxDelay    = 20 * time.Second // before one attempt: with these a request is given up after some minutes at most
	deployEvery = 5 * time.Second  // AWS's quota of CreateDeployment: one, for the whole account
)

// patient is the SDK's standard retryer, which also takes a 409 for another change being applied: the SDK gives up on it
// at once. It waits as long as AWS asks for in Retry-After, which the SDK does not heed, and throttled at least the pause
// of an operation's own quota.
type patient struct {
	aws.RetryerV2
	pause time.Duration
}

// retryer is patient, and quick on loopback, where there is nobody to be gentle with.
func retryer(loopback bool) aws.Retryer {
	return patient{RetryerV2: retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = maxAttempts, maxDelay
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(beingChanged))
		if loopback {
			o.MaxAttempts = 4
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				return time.Duration((0.5 + rand.Float64()/2) * float64(3*time.Millisecond<<min(attempt, 4))), nil
			})
		}
	})}
}

func (p patient) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, failed := p.RetryerV2.RetryDelay(attempt, err)
	if asked, ok := retryAfter(err); ok {
		return min(max(delay, asked), maxDelay), failed
	}
	if throttled(err) {
		delay = max(delay, p.pause)
	}
	return delay, failed
}

// retryAfter is what AWS asked for, in seconds or as a date.
func retryAfter(err error) (time.Duration, bool) {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil {
		return 0, false
	}
	value := answer.Response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 1<<20)) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at), true
	}
	return 0, false
}

func throttled(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(throttleCodes, api.ErrorCode())
}

// beingChanged are API Gateway's and Lambda's words for a change under way.
func beingChanged(err error) aws.Ternary {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return aws.UnknownTernary
	}
	switch message := api.ErrorMessage(); {
	case api.ErrorCode() == "ConflictException" && strings.Contains(message, "concurrent modification"),
		api.ErrorCode() == "ResourceConflictException" && strings.Contains(message, "update is in progress"):
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// oncePerFiveSeconds makes CreateDeployment wait for its quota.
func oncePerFiveSeconds(o *apigateway.Options) {
	if p, ok := o.Retryer.(patient); ok {
		p.pause = deployEvery
		o.Retryer = p
	}
}
