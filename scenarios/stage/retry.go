package stage

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
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
		own := []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(untrusted), retry.IsErrorRetryableFunc(beingChanged)}
		o.Retryables = append(own, o.Retryables...)
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

// repeat makes a request as often as the SDK would, which must not repeat it itself: before each further attempt due says
// whether it is still to be made. An attempt that failed may have done it all the same: then it is unsure.
func repeat(ctx context.Context, r aws.Retryer, try func() error, due func(unsure bool) bool) (unsure bool, err error) {
	for attempt := 1; ; attempt++ {
		if err = try(); err == nil {
			return unsure, nil
		}
		unsure = unsure || !refusal(err)
		if attempt >= r.MaxAttempts() || !r.IsErrorRetryable(err) || wait(ctx, r, attempt, err) != nil || !due(unsure) {
			return unsure, &retry.MaxAttemptsError{Attempt: attempt, Err: err}
		}
	}
}

// wait is the pause before the next attempt; cancelling ends it.
func wait(ctx context.Context, r aws.Retryer, attempt int, err error) error {
	delay, failed := r.RetryDelay(attempt, err)
	if failed != nil {
		return failed
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// refusal reports whether AWS has answered that it does not do what was asked: 4xx, but no timeout.
func refusal(err error) bool {
	var answer *smithyhttp.ResponseError
	var api smithy.APIError
	if !errors.As(err, &answer) || !errors.As(err, &api) {
		return false
	}
	status := answer.HTTPStatusCode()
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout
}

// unheard reports whether a refusal says that AWS did not even look at what was asked.
func unheard(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (slices.Contains(credentialCodes, api.ErrorCode()) || IsDenied(err) || throttled(err))
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

// untrusted is for a certificate, which is no better the next time: to the SDK it is an error of the connection.
func untrusted(err error) aws.Ternary {
	if cert := (*tls.CertificateVerificationError)(nil); errors.As(err, &cert) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// deployer makes CreateDeployment wait for its quota.
func deployer(r aws.Retryer) aws.Retryer {
	if p, ok := r.(patient); ok {
		p.pause = deployEvery
		return p
	}
	return r
}
