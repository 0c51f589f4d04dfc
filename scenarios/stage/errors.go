package stage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// What a caller may want to tell apart, with errors.Is.
var (
	ErrCanaryExists = errors.New("the stage has a canary already")
	ErrNoCanary     = errors.New("there is no canary")
	ErrChanged      = errors.New("stage changed under test")
	ErrNotTaken     = errors.New("the control plane answered success and did something else")
	ErrUnfinished   = errors.New("unfinished story")
	ErrLocked       = errors.New("another coalmine is acting on this stage")
	ErrCredentials  = errors.New("no usable AWS credentials")
	ErrUnreachable  = errors.New("unreachable")
	ErrPromoted     = errors.New("promoted, but its settings are left at 0%") // no reason to go back
)

// Touched is an error of what may have changed something before it came to grief: whatever it says, nobody may take it
// for a refusal after which everything is as it was.
type Touched struct{ Err error }

func (e Touched) Error() string { return e.Err.Error() }
func (e Touched) Unwrap() error { return e.Err }

// RequestError is what AWS, or the way to it, said to one request. The SDK's
// own error is underneath.
type RequestError struct {
	Operation string // "UpdateStage"
	Resource  string // "restapis/abc/stages/prod", "" where the operation has none
	Code      string // AWS's error code, "" when the request was not answered by AWS
	Message   string
	Remedy    string // what to do about it, "" where nobody knows
	cause     error
	kind      error
}

// Error is one line: operation and resource, code, message, remedy.
func (e *RequestError) Error() string {
	message := e.Message
	if e.Remedy != "" {
		message = strings.TrimRight(message, ". ")
	}
	var parts []string
	for _, part := range []string{strings.TrimSpace(e.Operation + " " + e.Resource), e.Code, message, e.Remedy} {
		if part != "" {
			parts = append(parts, strings.Join(strings.Fields(part), " "))
		}
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the SDK's error, and the kind of trouble where it is one of ours.
func (e *RequestError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.cause}
	}
	return []error{e.cause, e.kind}
}

// condense makes one line of an SDK error, which on a bad day is a paragraph.
func condense(err error) error {
	if err == nil {
		return nil
	}
	e := &RequestError{cause: err}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		e.Operation = op.OperationName
	}
	var (
		api     smithy.APIError
		profile config.SharedConfigProfileNotExistError
		signing *v4.SigningError
		dial    *net.OpError
		dns     *net.DNSError
		answer  *smithyhttp.ResponseError
		send    *smithyhttp.RequestSendError
		cert    *tls.CertificateVerificationError
	)
	request := &request{}
	if errors.As(err, &request) {
		e.Resource = request.resource
	}
	switch {
	case errors.As(err, &api):
		e.Code, e.Message = api.ErrorCode(), unsigned(api.ErrorMessage())
		if slices.Contains(credentialCodes, e.Code) {
			e.kind = ErrCredentials
		}
	case errors.Is(err, context.Canceled):
		e.Message = "cancelled"
	case errors.As(err, &profile):
		e.kind, e.Message = ErrCredentials, fmt.Sprintf("AWS profile %s does not exist", profile.Profile)
	case errors.As(err, &cert):
		e.kind, e.Message = ErrUnreachable, "certificate: "+cert.Err.Error()
	case errors.As(err, &signing), strings.Contains(err.Error(), "get credentials"), strings.Contains(err.Error(), "get identity"):
		e.kind, e.Operation, e.Message = ErrCredentials, "", credentialTrouble(err)
	case errors.As(err, &dns):
		e.kind, e.Message = ErrUnreachable, fmt.Sprintf("%s unreachable: %s", dns.Name, dns.Err)
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Addr != nil:
		e.kind, e.Message = ErrUnreachable, fmt.Sprintf("%s unreachable: %s", dial.Addr, innermost(dial))
	case errors.Is(err, context.DeadlineExceeded):
		e.kind, e.Message = ErrUnreachable, "no answer in time"
	case errors.As(err, &send):
		e.kind, e.Message = ErrUnreachable, "no answer: "+innermost(send).Error()
	case errors.As(err, &answer):
		e.Message = fmt.Sprintf("HTTP %d with a body that is not API Gateway's", answer.HTTPStatusCode())
	default:
		e.Message = innermost(err).Error()
	}
	var gaveUp *retry.MaxAttemptsError
	if errors.As(err, &gaveUp) && gaveUp.Attempt > 1 {
		e.Message = fmt.Sprintf("%s (%d attempts)", strings.TrimRight(e.Message, ". "), gaveUp.Attempt)
	}
	e.Remedy = e.remedy(request)
	return e
}

// unsigned cuts what AWS repeats of a signed request, session token and all.
func unsigned(message string) string {
	message, _, _ = strings.Cut(message, "The Canonical String")
	return message
}

// credentialCodes are AWS's words for credentials it does not take.
var credentialCodes = slices.Concat(expiredCodes, unknownKeyCodes, skewCodes)

func credentialTrouble(err error) string {
	last := innermost(err).Error()
	if strings.Contains(err.Error(), "IMDS") {
		last = "none in the environment, no profile, no role"
	}
	return ErrCredentials.Error() + ": " + last
}

// innermost is the last cause that says of what it speaks: that of a file's trouble does not.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if _, file := err.(*fs.PathError); next == nil || file {
			return err
		}
		err = next
	}
}

// hasCode reports whether AWS answered with this error code.
func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// IsNotFound reports whether AWS said that the thing asked for does not exist.
func IsNotFound(err error) bool {
	return hasCode(err, "NotFoundException") || hasCode(err, "ResourceNotFoundException") || hasCode(err, "ProvisionedConcurrencyConfigNotFoundException")
}

// Condense makes one line of an SDK error; for scenarios/products.
func Condense(err error) error { return condense(err) }
