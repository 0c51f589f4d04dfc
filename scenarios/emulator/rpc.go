package emulator

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
)

// Services that have no paths send everything to POST /. X-Amz-Target names the operation of those that speak JSON; STS and IAM
// speak forms and XML instead.

// targetOperations are by X-Amz-Target.
var targetOperations = map[string]operation{}

func init() {
	maps.Copy(targetOperations, logOperations)
	maps.Copy(targetOperations, deployOperations)
	maps.Copy(targetOperations, metricOperations)
}

func (s *Server) rpc(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	if target == "" {
		s.queryProtocol(w, r)
		return
	}
	a, err := s.targeted(w, r, target)
	a.header = map[string]string{"Content-Type": "application/x-amz-json-1.1"}
	respond(w, requestID(r), a, typed(err))
}

func (s *Server) targeted(w http.ResponseWriter, r *http.Request, target string) (answer, error) {
	in, err := read(w, r, 1<<20)
	if err != nil {
		return answer{}, err
	}
	do := targetOperations[target]
	if do == nil {
		return answer{}, refuse(http.StatusBadRequest, "UnknownOperationException", "the emulator knows no operation %s", target)
	}
	if err := s.plane.faults.Load().admission.admit(w, r, targetSubject(target, in)); err != nil {
		return answer{}, err
	}
	return do(&s.control, in)
}

// targetSubject: Logs_20140328.FilterLogEvents is logs:FilterLogEvents to IAM.
func targetSubject(target string, in *call) subject {
	service, name, _ := strings.Cut(target, ".")
	if service, _, _ = strings.Cut(service, "_"); service == "GraniteServiceVersion20100801" {
		service = "cloudwatch"
	}
	s := subject{action: strings.ToLower(service) + ":" + name, resource: "*"}
	var of groupRef
	if in.decode(&of) == nil && of != (groupRef{}) {
		group := cmp.Or(of.LogGroupName, of.LogGroupIdentifier)
		s.resource = "arn:aws:logs:" + in.region + ":" + account + ":log-group:" + group + ":log-stream:"
	}
	return s
}

// typed puts an error's code into its body, too, where this protocol has it. Its statuses are 400 and 500 only, and to be
// throttled has another name.
func typed(err error) error {
	var r *refusal
	if !asRefusal(err, &r) {
		return err
	}
	code := r.code
	if code == "TooManyRequestsException" {
		code = "ThrottlingException"
	}
	body := map[string]any{}
	json.Unmarshal(encode(r.body), &body)
	body["__type"] = code
	return &refusal{status: http.StatusBadRequest, code: code, body: body, header: r.header}
}
