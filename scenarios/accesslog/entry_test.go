package accesslog

import (
	"encoding/json"
	"strings"
	"testing"

	"coalmine/analyze"
	"coalmine/attack"
)

const (
	ours   = "c0a8f0e1-1234-4abc-9def-0123456789ab"
	theirs = "11111111-2222-4333-8444-555555555555" // Lambda's own, say
)

var sought = func() map[attack.RequestID]struct{} {
	var id attack.RequestID
	if err := id.UnmarshalText([]byte(ours)); err != nil {
		panic(err)
	}
	return map[attack.RequestID]struct{}{id: {}}
}()

func TestEntry(t *testing.T) {
	const (
		clf = `$context.identity.sourceIp $context.identity.caller [$context.requestTime]"$context.httpMethod $context.resourcePath $context.protocol" ` +
			`$context.status $context.responseLength $context.requestId $context.isCanaryRequest`
		xml  = `<request id="$context.requestId"><status>$context.status</status><deployment>$context.deploymentId</deployment></request>`
		jsn  = `{"rid":"$context.requestId","k":$context.isCanaryRequest,"s":$context.status,"why":$context.error.messageString}` + "\n"
		both = `{"requestId":"` + ours + `","lambda":"` + theirs + `"`
	)
	known := deployments{stage: "abc123", canary: "def456"}
	for _, tc := range []struct {
		name, format string
		deployments  deployments
		message      string
		canary       said
		status       int
	}{
		{"Common Log", clf, deployments{}, `10.0.0.1 - [10/Oct/2026:13:55:36 +0000]"GET /products HTTP/1.1" 500 36 ` + ours + ` true`, yes, 500},
		{"Common Log, baseline", clf, deployments{}, `10.0.0.1 - [10/Oct/2026:13:55:36 +0000]"GET /products HTTP/1.1" 502 36 ` + ours + " false\n", no, 502},
		{"Common Log without its format", "", deployments{}, `10.0.0.1 - [x]"GET /products HTTP/1.1" 500 36 ` + ours + ` true`, unsaid, 0},
		{"XML by deployment", xml, known, `<request id="` + ours + `"><status>504</status><deployment>def456</deployment></request>`, yes, 504},
		{"XML, another's deployment", xml, known, `<request id="` + ours + `"><status>504</status><deployment>xyz999</deployment></request>`, unsaid, 504},
		{"JSON with keys of one's own", jsn, deployments{}, `{"rid":"` + ours + `","k":true,"s":500,"why":"a \"quoted\" word"}`, yes, 500},
		{"JSON by its usual names", "", deployments{}, both + `,"isCanaryRequest":"true","status":"500"}`, yes, 500},
		{"JSON, booleans and numbers", "", deployments{}, both + `,"is_canary":false,"statusCode":429}`, no, 429},
		{"JSON, format since changed", clf, deployments{}, both + `,"Canary":"true","http-status":"503"}`, yes, 503},
		{"JSON by deployment", "", known, both + `,"deploymentId":"abc123","status":"500"}`, no, 500},
		{"JSON, deployment under a strange name", "", known, both + `,"x":"def456","status":"500"}`, yes, 500},
		{"JSON, both deployments named", "", known, both + `,"x":"def456","y":"abc123"}`, unsaid, 0},
		{"JSON, isCanaryRequest before deployment", "", known, both + `,"canary":"true","deploymentId":"abc123"}`, yes, 0},
		{"nothing said", "", deployments{}, both + `,"isCanaryRequest":"-","status":"-"}`, unsaid, 0},
		{"a status that is none", "", deployments{}, both + `,"canary":true,"status":-1}`, yes, 0},
		{"no field at all", "", deployments{}, ours, unsaid, 0},
	} {
		p := newParser(tc.format, tc.deployments)
		id, found := p.id(tc.message, sought)
		if e := p.entry(tc.message); !found || id.String() != ours || e != (entry{tc.canary, tc.status}) {
			t.Errorf("%s: %v %s, %+v", tc.name, found, id, e)
		}
	}
	p := newParser("", deployments{})
	for _, message := range []string{"", theirs, ours[1:], "a" + ours, ours + "0"} {
		if id, found := p.id(message, sought); found {
			t.Errorf("%q holds %s", message, id)
		}
	}
	if _, found := p.id(strings.ToUpper(ours), sought); !found {
		t.Error("in capitals it is not found")
	}
}

func TestDeploymentsOf(t *testing.T) {
	for _, tc := range []struct {
		stage, made string
		want        deployments
	}{
		{`{"stage":"prod","deployment_id":"a1","canary":{"deployment_id":"b2"}}`, "", deployments{"a1", "b2"}},
		{`{"stage":"prod","deployment_id":"a1"}`, "c3", deployments{"a1", "c3"}},
		{`{"ref":{},"stage":{"stage":"prod","deployment_id":"a1","canary":{"deployment_id":"b2"}}}`, "", deployments{"a1", "b2"}},
		{`{"stage":"prod","deployment_id":"a1","canary":{"deployment_id":"a1"}}`, "", deployments{}}, // an override only
		{`{"stage":"prod","deployment_id":"a1"}`, "", deployments{"a1", ""}},
		{`{"stage":{"stage":{"stage":7}}}`, "", deployments{}},
		{`{"deployment_id":7}`, "", deployments{}},
		{`"x"`, "", deployments{}},
		{``, "c3", deployments{"", "c3"}},
	} {
		s := analyze.Sought{Header: analyze.Header{Stage: json.RawMessage(tc.stage)}, Deployment: tc.made}
		if got := deploymentsOf(s); got != tc.want {
			t.Errorf("%s, made %q: %+v, want %+v", tc.stage, tc.made, got, tc.want)
		}
	}
}

// Whatever is in a log, and whatever format a stage claims, it is no reason to panic.
func FuzzEntry(f *testing.F) {
	f.Add(`{"a":"$context.requestId","b":$context.isCanaryRequest}`, `{"a":"`+ours+`","b":true}`, "abc123", "def456")
	f.Add(`$context.status$context.status [(`, ours+` abc123`, "", "(")
	f.Fuzz(func(t *testing.T, format, message, stage, canary string) {
		p := newParser(format, deployments{stage, canary})
		p.id(message, sought)
		p.entry(message)
	})
}
