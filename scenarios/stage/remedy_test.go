package stage_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// What AWS repeats of a request that it does not believe reaches neither the journal nor the error.
func TestNoTokenInTheJournal(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	j := l.journal()
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PATCH" {
			return false
		}
		awsError(w, 403, "SignatureDoesNotMatch", "It does not match. The Canonical String for this request should have been 'PATCH "+r.Header.Get("Authorization")+" x-amz-security-token:SECRET'")
		return true
	})
	_, err := l.CreateCanary(t.Context(), j, l.ref, 50, overrides)
	data, _ := os.ReadFile(j.Path())
	if err == nil || !strings.Contains(string(data), "SignatureDoesNotMatch: It does not match") {
		t.Fatalf("%v, journal %s", err, data)
	}
	for _, text := range []string{err.Error(), string(data)} {
		if strings.Contains(text, "SECRET") || strings.Contains(text, "Signature=") {
			t.Errorf("a token in %s", text)
		}
	}
}

// With AWS's quotas in force a story takes longer, and comes to its end.
func TestQuotasAreWaitedFor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if err := l.emulator.SetFaults(emulator.Faults{Control: emulator.Control{Quotas: true}}); err != nil {
		t.Fatal(err)
	}
	var throttled atomic.Int64
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		l.proxy.answer(w, r, func(status int) {
			if status == 429 {
				throttled.Add(1)
			}
		})
		return true
	})
	if err := verbs(creating, deploying, deploying)(t.Context(), l.Client, l.journal(), l.ref); err != nil {
		t.Error(err)
	}
	if throttled.Load() == 0 {
		t.Error("no quota was in the way")
	}
}

// Every error of AWS's reaches a person as operation, resource, code and message, and what to do; in one line.
func TestRemedies(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	api := l.ref.API
	reading := func() error { _, err := l.Read(ctx, l.ref); return err }
	alias := func() error { _, err := l.ReadAlias(ctx, products.Function, "prod"); return err }
	const canonical = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. " +
		"Consult the service documentation for details. The Canonical String for this request should have been 'GET x-amz-security-token:FwoGZXIvYXdzSECRET'"
	for _, c := range []struct {
		do            func() error
		status        int
		code, message string
		want          string
		is            error
	}{
		{reading, 403, "AccessDeniedException", "User: arn:aws:iam::1:user/ci is not authorized to perform: apigateway:GET",
			"read stage prod: GetStage restapis/API/stages/prod: AccessDeniedException: User: arn:aws:iam::1:user/ci is not authorized to perform: apigateway:GET: " +
				"allow apigateway:GET on arn:aws:apigateway:eu-west-1::/restapis/API/stages/prod (see: coalmine canary policy)", nil},
		{alias, 403, "AccessDeniedException", "no",
			"read alias prod of getProducts: GetAlias functions/getProducts/aliases/prod: AccessDeniedException: no: " +
				"allow lambda:GetAlias on arn:aws:lambda:eu-west-1:ACCOUNT:function:getProducts (see: coalmine canary policy)", nil},
		{reading, 403, "ExpiredTokenException", "The security token included in the request is expired",
			"read stage prod: GetStage restapis/API/stages/prod: ExpiredTokenException: The security token included in the request is expired: sign in again", stage.ErrCredentials},
		{reading, 403, "UnrecognizedClientException", "The security token included in the request is invalid.",
			"read stage prod: GetStage restapis/API/stages/prod: UnrecognizedClientException: The security token included in the request is invalid: " +
				"check the access key, its secret, and AWS_PROFILE", stage.ErrCredentials},
		{reading, 403, "InvalidSignatureException", "Signature expired: 20261123T080000Z is now earlier than 20261123T085500Z (20261123T090000Z - 5 min.)",
			"read stage prod: GetStage restapis/API/stages/prod: InvalidSignatureException: " +
				"Signature expired: 20261123T080000Z is now earlier than 20261123T085500Z (20261123T090000Z - 5 min.): this machine's clock is wrong: set it", stage.ErrCredentials},
		{reading, 403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.",
			"The difference between the request time and the current time is too large", stage.ErrCredentials},
		{reading, 403, "SignatureDoesNotMatch", canonical,
			"read stage prod: GetStage restapis/API/stages/prod: SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. " +
				"Check your AWS Secret Access Key and signing method. Consult the service documentation for details: check the access key, its secret, and AWS_PROFILE", stage.ErrCredentials},
		{reading, 429, "TooManyRequestsException", "Too Many Requests",
			"read stage prod: GetStage restapis/API/stages/prod: TooManyRequestsException: Too Many Requests (4 attempts): " +
				"the control plane is busy with others of this account: repeat in a minute", nil},
		{reading, 404, "NotFoundException", "Invalid stage identifier specified",
			"read stage prod: GetStage restapis/API/stages/prod: NotFoundException: Invalid stage identifier specified: " +
				"see what there is: aws apigateway get-stages --rest-api-id API", nil},
		{alias, 404, "ResourceNotFoundException", "Cannot find alias",
			"read alias prod of getProducts: GetAlias functions/getProducts/aliases/prod: ResourceNotFoundException: Cannot find alias: " +
				"see what there is: aws lambda list-aliases --function-name getProducts", nil},
		{reading, 503, "ServiceUnavailableException", "later",
			"read stage prod: GetStage restapis/API/stages/prod: ServiceUnavailableException: later (4 attempts): it is AWS's trouble: see health.aws.amazon.com, and repeat", nil},
		{reading, 400, "BadRequestException", "Invalid something", "read stage prod: GetStage restapis/API/stages/prod: BadRequestException: Invalid something", nil},
		{reading, 502, "", "<html>Bad gateway</html>",
			"read stage prod: GetStage restapis/API/stages/prod: HTTP 502 with a body that is not API Gateway's (4 attempts): check AWS_ENDPOINT_URL: this does not speak as AWS does", nil},
	} {
		l.proxy.with(func(w http.ResponseWriter, _ *http.Request) bool {
			if c.code != "" {
				awsError(w, c.status, c.code, c.message)
				return true
			}
			w.WriteHeader(c.status)
			io.WriteString(w, c.message)
			return true
		})
		err := c.do()
		if err == nil {
			t.Errorf("%s: no error", c.code)
			continue
		}
		want := strings.NewReplacer("API/", api+"/", "--rest-api-id API", "--rest-api-id "+api, "ACCOUNT", l.Account()).Replace(c.want)
		if got := err.Error(); got != want && (strings.HasPrefix(want, "read ") || !strings.Contains(got, want) || !strings.HasSuffix(got, "clock is wrong: set it")) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s is not %v", c.code, c.is)
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("a session token in: %v", err)
		}
	}
}
