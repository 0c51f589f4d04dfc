package emulator

import (
	"fmt"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// admission stands before every control-plane operation: it is Control with the state that it needs.
type admission struct {
	Control
	throttle  *bucket            // nil: no limit
	quotas    map[string]*bucket // by pattern, "" for all; nil: none
	expires   time.Duration      // elapsed; 0: never
	conflicts atomic.Int64       // still to be answered
}

// subject is a request as admission sees it.
type subject struct {
	action   string // IAM's: "apigateway:PATCH"
	resource string // an ARN, or "*"
	pattern  string // of controlOperations, for the quotas; "" for services without any
}

// callerARN is the user that every request is from, unless Control names a role.
const callerARN = "arn:aws:iam::" + account + ":user/emulator"

func newAdmission(c Control, last *conditions, begun time.Duration) *admission {
	a := &admission{Control: c}
	a.Deny = append([]string{}, c.Deny...)
	a.conflicts.Store(int64(c.Conflicts))
	var before *admission
	if last != nil {
		before = last.admission
	}
	if c.ExpireAfter > 0 {
		a.expires = begun + c.ExpireAfter
	}
	if c.Throttle > 0 {
		if a.throttle = newBucket(c.Throttle); before != nil && before.Throttle == c.Throttle {
			a.throttle = before.throttle
		}
	}
	if c.Quotas {
		if a.quotas = newQuotas(); before != nil && before.Quotas {
			a.quotas = before.quotas
		}
	}
	return a
}

// newQuotas are those of API Gateway's management API ([DOC] limits).
func newQuotas() map[string]*bucket {
	return map[string]*bucket{
		"":                                 newBurst(10, 40),
		"POST /restapis/{api}/deployments": newBurst(1.0/5, 1),
		"POST /restapis/{api}/resources/{resource}": newBurst(5, 5),
		"GET /restapis/{api}/resources":             newBurst(5.0/2, 5),
		"DELETE /restapis/{api}":                    newBurst(1.0/30, 1),
	}
}

// admit refuses what AWS would refuse before it looks at the operation itself.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) error {
	return s.plane.faults.Load().admission.admit(w, r, subjectOf(r))
}

func (a *admission) admit(w http.ResponseWriter, r *http.Request, of subject) error {
	at := time.Now().Add(a.ClockSkew)
	if a.ClockSkew != 0 { // clients that correct their clock go by the date of the refusal
		w.Header().Set("Date", at.UTC().Format(http.TimeFormat))
	}
	if err := signedInTime(r, at); err != nil {
		return err
	}
	if a.expired() {
		return refuse(http.StatusForbidden, "ExpiredTokenException", "The security token included in the request is expired")
	}
	if err := a.limit(of); err != nil {
		return err
	}
	if a.denies(of.action) {
		return denied(a.caller(), of)
	}
	if of.changesGateway() && a.conflicts.Load() > 0 && a.conflicts.Add(-1) >= 0 {
		return conflict("Unable to complete operation due to concurrent modification. Please try again later.")
	}
	return nil
}

func (a *admission) expired() bool {
	return a.Expired || a.expires > 0 && elapsed() >= a.expires
}

// denies knows IAM's wildcards; a name has no slash and no bracket, so that path.Match is one that fits.
func (a *admission) denies(action string) bool {
	if action == "sts:GetCallerIdentity" { // nobody can be denied that
		return false
	}
	for _, pattern := range a.Deny {
		if fits, err := path.Match(strings.ToLower(pattern), strings.ToLower(action)); err == nil && fits {
			return true
		}
	}
	return false
}

func denied(caller string, of subject) error {
	text := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		caller, of.action, of.resource, of.action)
	return &refusal{status: http.StatusForbidden, code: "AccessDeniedException", body: struct{ Message string }{text}}
}

func (a *admission) limit(of subject) error {
	if a.throttle != nil && !a.throttle.allow(elapsed()) {
		return tooMany(of, time.Second)
	}
	if a.quotas == nil || !strings.HasPrefix(of.action, "apigateway:") {
		return nil
	}
	for _, pattern := range []string{"", of.pattern} {
		if q := a.quotas[pattern]; q != nil && !q.allow(elapsed()) {
			return tooMany(of, q.wait(elapsed()))
		}
	}
	return nil
}

func tooMany(of subject, wait time.Duration) error {
	r := &refusal{
		status: http.StatusTooManyRequests,
		code:   "TooManyRequestsException",
		body:   message{"Too Many Requests"},
		header: map[string]string{"Retry-After": strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))},
	}
	if strings.HasPrefix(of.action, "lambda:") {
		r.body = map[string]string{"Reason": "CallerRateLimitExceeded", "Type": "User", "message": "Rate exceeded"}
	}
	return r
}

const (
	amzTime    = "20060102T150405Z"
	signedFor  = 5 * time.Minute
	signedText = "5 min."
)

// signedInTime says what AWS says to a client whose clock is wrong; unsigned requests have no time and pass.
func signedInTime(r *http.Request, at time.Time) error {
	stamp := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse(amzTime, stamp)
	if err != nil {
		return nil
	}
	at = at.UTC()
	var text string
	switch {
	case at.Sub(signed) > signedFor:
		text = fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %s)", stamp, at.Add(-signedFor).Format(amzTime), at.Format(amzTime), signedText)
	case signed.Sub(at) > signedFor:
		text = fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %s)", stamp, at.Add(signedFor).Format(amzTime), at.Format(amzTime), signedText)
	default:
		return nil
	}
	return refuse(http.StatusForbidden, "InvalidSignatureException", "%s", text)
}

// changesGateway is true for what AWS can refuse as a concurrent change.
func (s subject) changesGateway() bool {
	verb, found := strings.CutPrefix(s.action, "apigateway:")
	return found && verb != http.MethodGet && s.pattern != testInvoke
}

const testInvoke = "POST /restapis/{api}/resources/{resource}/methods/{verb}"

// subjectOf names the IAM action behind a request: API Gateway's are HTTP verbs on paths, Lambda's are operations on functions.
func subjectOf(r *http.Request) subject {
	region := signedRegion(r)
	if name, found := lambdaActions[r.Pattern]; found {
		s := subject{action: "lambda:" + name, resource: "*"}
		if function, _ := splitFunctionName(r.PathValue("function")); function != "" {
			s.resource = "arn:aws:lambda:" + region + ":" + account + ":function:" + function
			if q := r.URL.Query().Get("Qualifier"); q != "" {
				s.resource += ":" + q
			}
		} else if arn := r.PathValue("arn"); arn != "" {
			s.resource = arn
		}
		return s
	}
	return subject{"apigateway:" + r.Method, "arn:aws:apigateway:" + region + "::" + r.URL.EscapedPath(), r.Pattern}
}

// lambdaActions are IAM's names; every operation of Lambda has its line.
var lambdaActions = map[string]string{
	"GET /2015-03-31/functions":                               "ListFunctions",
	"POST /2015-03-31/functions":                              "CreateFunction",
	"GET /2015-03-31/functions/{function}":                    "GetFunction",
	"DELETE /2015-03-31/functions/{function}":                 "DeleteFunction",
	"GET /2015-03-31/functions/{function}/configuration":      "GetFunctionConfiguration",
	"PUT /2015-03-31/functions/{function}/configuration":      "UpdateFunctionConfiguration",
	"PUT /2015-03-31/functions/{function}/code":               "UpdateFunctionCode",
	"GET /2015-03-31/functions/{function}/versions":           "ListVersionsByFunction",
	"POST /2015-03-31/functions/{function}/versions":          "PublishVersion",
	"GET /2015-03-31/functions/{function}/aliases":            "ListAliases",
	"POST /2015-03-31/functions/{function}/aliases":           "CreateAlias",
	"GET /2015-03-31/functions/{function}/aliases/{alias}":    "GetAlias",
	"PUT /2015-03-31/functions/{function}/aliases/{alias}":    "UpdateAlias",
	"DELETE /2015-03-31/functions/{function}/aliases/{alias}": "DeleteAlias",
	"GET /2015-03-31/functions/{function}/policy":             "GetPolicy",
	"POST /2015-03-31/functions/{function}/policy":            "AddPermission",
	"DELETE /2015-03-31/functions/{function}/policy/{sid}":    "RemovePermission",
	"POST /2015-03-31/functions/{function}/invocations":       "InvokeFunction",

	"GET /2019-09-30/functions/{function}/provisioned-concurrency":    "GetProvisionedConcurrencyConfig",
	"PUT /2019-09-30/functions/{function}/provisioned-concurrency":    "PutProvisionedConcurrencyConfig",
	"DELETE /2019-09-30/functions/{function}/provisioned-concurrency": "DeleteProvisionedConcurrencyConfig",
	"GET /2019-09-30/functions/{function}/concurrency":                "GetFunctionConcurrency",
	"PUT /2017-10-31/functions/{function}/concurrency":                "PutFunctionConcurrency",
	"DELETE /2017-10-31/functions/{function}/concurrency":             "DeleteFunctionConcurrency",
	"GET /2016-08-19/account-settings":                                "GetAccountSettings",

	"GET /2017-03-31/tags/{arn...}":    "ListTags",
	"POST /2017-03-31/tags/{arn...}":   "TagResource",
	"DELETE /2017-03-31/tags/{arn...}": "UntagResource",
}
