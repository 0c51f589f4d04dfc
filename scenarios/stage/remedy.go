package stage

import (
	"slices"
	"strings"
)

var (
	expiredCodes    = []string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
	unknownKeyCodes = []string{"InvalidClientTokenId", "UnrecognizedClientException", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken"}
	skewCodes       = []string{"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
	throttleCodes   = []string{"TooManyRequestsException", "ThrottlingException", "Throttling", "LimitExceededException", "RequestLimitExceeded"}
	notFoundCodes   = []string{"NotFoundException", "ResourceNotFoundException"}
	brokenCodes     = []string{"ServiceUnavailableException", "ServiceException", "InternalFailure", "InternalServerError", "InternalServerErrorException", "InternalServiceException"}
)

// remedies say what to do, by AWS's code or by what became of the request; the first that fits.
var remedies = []struct {
	fits func(*RequestError) bool
	what func(*RequestError, *request) string
}{
	{code(skewCodes), always("this machine's clock is wrong: set it")},
	{says("Signature expired", "Signature not yet current"), always("this machine's clock is wrong: set it")},
	{code(expiredCodes), always("sign in again")},
	{code(deniedCodes), allow},
	{says("is not authorized to perform"), allow},
	{code(unknownKeyCodes), always("check the access key, its secret, and AWS_PROFILE")},
	{code(throttleCodes), always("the control plane is busy with others of this account: repeat in a minute")},
	{code([]string{"PreconditionFailedException"}), always("somebody moved it since it was read: look who, and judge again")},
	{says("concurrent modification", "update is in progress"), always("another change of it is being applied: repeat in a minute")},
	{code(notFoundCodes), list},
	{code(brokenCodes), always("it is AWS's trouble: see health.aws.amazon.com, and repeat")},
	{says("certificate: x509: "), always("where a proxy looks into TLS, AWS_CA_BUNDLE or the profile's ca_bundle names the file of its authority")},
	{says("custom CA bundle"), always("AWS_CA_BUNDLE, or the profile's ca_bundle, has to name a file of certificates in PEM")},
	{kind(ErrUnreachable), always("check the network, the region, and AWS_ENDPOINT_URL")},
	{says("with a body that is not"), always("check AWS_ENDPOINT_URL: this does not speak as AWS does")},
	{kind(ErrCredentials), always("sign in, or name a profile")},
}

// remedy is what to do about the error, "" where nobody knows.
func (e *RequestError) remedy(r *request) string {
	for _, one := range remedies {
		if one.fits(e) {
			return one.what(e, r)
		}
	}
	return ""
}

func code(codes []string) func(*RequestError) bool {
	return func(e *RequestError) bool { return slices.Contains(codes, e.Code) }
}

func kind(k error) func(*RequestError) bool { return func(e *RequestError) bool { return e.kind == k } }

func says(texts ...string) func(*RequestError) bool {
	return func(e *RequestError) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(e.Message, text) })
	}
}

func always(text string) func(*RequestError, *request) string {
	return func(*RequestError, *request) string { return text }
}

// allow names the permission that is missing.
func allow(_ *RequestError, r *request) string {
	if r.client == nil {
		return "allow it (see: coalmine canary policy)"
	}
	action, arn := r.permission()
	return "allow " + action + " on " + arn + " (see: coalmine canary policy)"
}

// list is how to see what there is instead.
func list(_ *RequestError, r *request) string {
	part := append(strings.Split(r.resource, "/"), "", "", "", "")
	look := ""
	switch {
	case part[0] == "restapis" && part[2] == "stages":
		look = "aws apigateway get-stages --rest-api-id " + part[1]
	case part[0] == "restapis" && part[2] == "deployments":
		look = "aws apigateway get-deployments --rest-api-id " + part[1]
	case part[0] == "restapis":
		look = "aws apigateway get-rest-apis"
	case part[0] == "functions" && part[2] == "aliases":
		look = "aws lambda list-aliases --function-name " + part[1]
	case part[0] == "functions":
		look = "aws lambda list-functions"
	default:
		return ""
	}
	return "see what there is: " + look
}
