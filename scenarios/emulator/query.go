package emulator

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// queryOperation answers with what goes into the action's Result element: nil for none. It runs under the control plane's lock.
type queryOperation func(*control, url.Values) (any, error)

// queryServices speak forms and XML.
var queryServices = []struct {
	name, namespace string
	operations      map[string]queryOperation // by Action
}{
	{"sts", "https://sts.amazonaws.com/doc/2011-06-15/", map[string]queryOperation{"GetCallerIdentity": (*control).getCallerIdentity}},
	{"iam", "https://iam.amazonaws.com/doc/2010-05-08/", map[string]queryOperation{"SimulatePrincipalPolicy": (*control).simulatePrincipalPolicy}},
	{"iam", "https://iam.amazonaws.com/doc/2010-05-08/", roleOperations},
}

func (s *Server) queryProtocol(w http.ResponseWriter, r *http.Request) {
	id := requestID(r)
	in, err := read(w, r, 1<<20)
	if err != nil {
		respond(w, id, answer{}, err)
		return
	}
	form, _ := url.ParseQuery(string(in.body))
	w.Header().Set("Content-Type", "text/xml")
	w.Header()["x-amzn-RequestId"] = []string{id}
	result, namespace, err := s.query(w, r, form)
	var refused *refusal
	if asRefusal(err, &refused) {
		for name, value := range refused.header {
			w.Header()[name] = []string{value}
		}
		w.WriteHeader(refused.status)
		type trouble struct{ Type, Code, Message string }
		writeXML(w, "ErrorResponse", namespace, struct {
			Error     trouble
			RequestID string `xml:"RequestId"`
		}{trouble{"Sender", queryCode(refused.code), refused.text()}, id})
		return
	}
	writeXML(w, form.Get("Action")+"Response", namespace, struct {
		Result    string `xml:",innerxml"`
		RequestID string `xml:"ResponseMetadata>RequestId"`
	}{result, id})
}

// query does what a form asks for. Its result is written out while nothing can change it.
func (s *Server) query(w http.ResponseWriter, r *http.Request, form url.Values) (result, namespace string, err error) {
	action := form.Get("Action")
	for _, service := range queryServices {
		do := service.operations[action]
		if do == nil {
			continue
		}
		if err := s.plane.faults.Load().admission.admit(w, r, subject{service.name + ":" + action, querySubject(form), ""}); err != nil {
			return "", service.namespace, err
		}
		s.control.mu.Lock()
		defer s.control.mu.Unlock()
		body, err := do(&s.control, form)
		if err != nil || body == nil {
			return "", service.namespace, err
		}
		var b bytes.Buffer
		writeXML(&b, action+"Result", "", body)
		return b.String(), service.namespace, nil
	}
	return "", "", refuse(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s", action, form.Get("Version"))
}

func querySubject(form url.Values) string {
	if role := form.Get("RoleName"); role != "" {
		return "arn:aws:iam::" + account + ":role/" + role
	}
	return cmp.Or(form.Get("PolicySourceArn"), "*")
}

func writeXML(w io.Writer, name, namespace string, body any) {
	xml.NewEncoder(w).EncodeElement(body, xml.StartElement{Name: xml.Name{Space: namespace, Local: name}})
}

// queryCode is how the services that speak forms spell the codes that all services share.
func queryCode(code string) string {
	switch code {
	case "ExpiredTokenException":
		return "ExpiredToken"
	case "InvalidSignatureException":
		return "SignatureDoesNotMatch"
	case "AccessDeniedException":
		return "AccessDenied"
	case "TooManyRequestsException":
		return "Throttling"
	}
	return code
}

func (c *control) getCallerIdentity(url.Values) (any, error) {
	a := c.plane.faults.Load().admission
	user := "AIDAEMULATOR"
	if a.Role != "" {
		user = "AROAEMULATOR:session"
	}
	return struct {
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}{a.caller(), user, account}, nil
}

// caller is who every request is from, whatever key signed it.
func (a *admission) caller() string {
	if a.Role != "" {
		return "arn:aws:sts::" + account + ":assumed-role/" + a.Role + "/session"
	}
	return callerARN
}

// principal is whose policies decide: the role, where the caller is a session of it.
func (a *admission) principal() string {
	if a.Role != "" {
		return "arn:aws:iam::" + account + ":role/" + a.Role
	}
	return callerARN
}

type decision struct {
	Action    string             `xml:"EvalActionName"`
	Resource  string             `xml:"EvalResourceName"`
	Decision  string             `xml:"EvalDecision"`
	Resources []resourceDecision `xml:"ResourceSpecificResults>member,omitempty"`
}

type resourceDecision struct {
	Resource string `xml:"EvalResourceName"`
	Decision string `xml:"EvalResourceDecision"`
}

// simulatePrincipalPolicy allows what Control.Deny does not name, as the operations themselves do.
func (c *control) simulatePrincipalPolicy(form url.Values) (any, error) {
	a := c.plane.faults.Load().admission
	arn := form.Get("PolicySourceArn")
	if !strings.HasPrefix(arn, "arn:aws:iam::") {
		return nil, refuse(http.StatusBadRequest, "InvalidInput", "Invalid Entity Arn: %s does not clearly define entity type and name.", arn)
	}
	if arn != a.principal() {
		_, name, _ := strings.Cut(arn, "/")
		return nil, refuse(http.StatusNotFound, "NoSuchEntity", "The user or role with name %s cannot be found.", name)
	}
	actions, resources := members(form, "ActionNames"), members(form, "ResourceArns")
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	if len(actions) == 0 {
		return nil, invalid("null", "actionNames", "Member must not be null")
	}
	var all []decision
	for _, action := range actions {
		if service, name, found := strings.Cut(action, ":"); !found || !isName(service) || !isName(name) {
			return nil, refuse(http.StatusBadRequest, "InvalidInput", "Invalid Action Name: %s", action)
		}
		d := decision{Action: action, Resource: resources[0], Decision: "allowed"}
		if a.denies(action) {
			d.Decision = "explicitDeny"
		}
		for _, r := range resources {
			if len(resources) > 1 {
				d.Resources = append(d.Resources, resourceDecision{r, d.Decision})
			}
		}
		all = append(all, d)
	}
	part, next, err := page(all, form.Get("Marker"), form.Get("MaxItems"), 100, 1000, badInput)
	if err != nil {
		return nil, err
	}
	return struct {
		Truncated bool       `xml:"IsTruncated"`
		Marker    string     `xml:",omitempty"`
		Results   []decision `xml:"EvaluationResults>member"`
	}{Truncated: next != "", Marker: next, Results: part}, nil
}

func badInput(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "InvalidInput", format, args...)
}

// members reads a list: Name.member.1 and so on.
func members(form url.Values, name string) []string {
	var all []string
	for i := 1; ; i++ {
		values, found := form[name+".member."+strconv.Itoa(i)]
		if !found {
			return all
		}
		all = append(all, values[0])
	}
}
