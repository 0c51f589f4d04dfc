package stage

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func answered(status int, code, message, retryAfter string) error {
	header := http.Header{}
	if retryAfter != "" {
		header.Set("Retry-After", retryAfter)
	}
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: header}},
		Err:      &smithy.GenericAPIError{Code: code, Message: message},
	}
}

// AWS is waited for as long as it asks, but not for ever; a quota at least its period.
func TestRetryDelay(t *testing.T) {
	t.Parallel()
	deploy := patient{RetryerV2: retryer(true).(patient).RetryerV2, pause: deployEvery}
	for _, c := range []struct {
		name        string
		retryer     patient
		err         error
		least, most time.Duration
	}{
		{"loopback", retryer(true).(patient), answered(429, "TooManyRequestsException", "", ""), 0, 100 * time.Millisecond},
		{"AWS", retryer(false).(patient), answered(429, "TooManyRequestsException", "", ""), 0, maxDelay},
		{"seconds", retryer(true).(patient), answered(429, "TooManyRequestsException", "", "7"), 7 * time.Second, 7 * time.Second},
		{"a date", retryer(true).(patient), answered(503, "ServiceUnavailableException", "", time.Now().Add(10*time.Second).UTC().Format(http.TimeFormat)), 3 * time.Second, 10 * time.Second},
		{"an age", retryer(true).(patient), answered(429, "TooManyRequestsException", "", "86400"), maxDelay, maxDelay},
		{"past", retryer(true).(patient), answered(429, "TooManyRequestsException", "", "Thu, 01 Jan 2015 00:00:00 GMT"), 0, 100 * time.Millisecond},
		{"nonsense", retryer(true).(patient), answered(429, "TooManyRequestsException", "", "-1"), 0, 100 * time.Millisecond},
		{"no header", deploy, errors.New("EOF"), 0, 100 * time.Millisecond},
		{"quota", deploy, answered(429, "TooManyRequestsException", "", ""), deployEvery, deployEvery},
		{"quota that says when", deploy, answered(429, "TooManyRequestsException", "", "1"), time.Second, time.Second},
	} {
		for attempt := 1; attempt < maxAttempts; attempt++ {
			got, err := c.retryer.RetryDelay(attempt, c.err)
			if err != nil || got < c.least || got > c.most {
				t.Errorf("%s, attempt %d: %v, %v; want %v to %v", c.name, attempt, got, err, c.least, c.most)
			}
		}
	}
	if p, ok := deployer(retryer(false)).(patient); !ok || p.pause != deployEvery || p.MaxAttempts() != maxAttempts {
		t.Errorf("CreateDeployment is repeated by %+v", p)
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{answered(409, "ConflictException", "Unable to complete operation due to concurrent modification. Please try again later.", ""), true},
		{answered(409, "ConflictException", "Stage already exists", ""), false},
		{answered(409, "ResourceConflictException", "The operation cannot be performed at this time. An update is in progress for resource: x", ""), true},
		{answered(409, "ResourceConflictException", "Alias already exists: x", ""), false},
		{answered(412, "PreconditionFailedException", "The RevisionId provided does not match", ""), false},
		{answered(429, "TooManyRequestsException", "", ""), true},
		{answered(503, "ServiceUnavailableException", "", ""), true},
		{answered(403, "AccessDeniedException", "", ""), false},
		{answered(403, "ExpiredTokenException", "", ""), false},
	} {
		if got := retryer(false).IsErrorRetryable(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
