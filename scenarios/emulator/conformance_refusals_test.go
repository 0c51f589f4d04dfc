package emulator

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestRefusals is aws.md 1.2 and 2.3: what is refused, and in which words.
func TestRefusals(t *testing.T) {
	c := conforming(t)
	for _, r := range []request{
		post("/restapis/API/stages", `{"stageName":"plain","deploymentId":"FIRST"}`),
		post("/restapis/API/stages", `{"stageName":"canaried","deploymentId":"FIRST","canarySettings":{"percentTraffic":10}}`),
		post("/restapis/API/deployments", `{}`),
	} {
		if status, _, body := c.ask(r); status != 201 {
			t.Fatalf("%s: %d %s", r.path, status, body)
		}
	}
	_, _, empty := c.ask(post("/restapis", `{"name":"empty"}`))
	var bare struct{ ID, RootResourceID string }
	c.must(json.Unmarshal([]byte(empty), &bare))
	_, _, half := c.ask(post("/restapis", `{"name":"half"}`))
	var without struct{ ID, RootResourceID string }
	c.must(json.Unmarshal([]byte(half), &without))
	c.ask(put("/restapis/"+without.ID+"/resources/"+without.RootResourceID+"/methods/GET", `{"authorizationType":"NONE"}`))

	const (
		bad         = "BadRequestException"
		missing     = "NotFoundException"
		exists      = "ConflictException"
		deployments = "/restapis/API/deployments"
		stages      = "/restapis/API/stages"
		integration = "/restapis/API/resources/RESOURCE/methods/GET/integration"
	)
	long := strings.Repeat("a", 65)
	for _, test := range []struct {
		evidence
		name string
		request
		status  int
		kind    string
		message string
	}{
		// 1.2
		{recorded, "unknown API", get("/restapis/nope"), 404, missing, "Invalid API identifier specified 000000000000:nope"},
		{unverified, "unknown stage", get(stages + "/nope"), 404, missing, "Invalid stage identifier specified"},
		{thirdParty, "duplicate stage", post(stages, `{"stageName":"prod","deploymentId":"FIRST"}`), 409, exists, "Stage already exists"},
		{recorded, "duplicate resource", post("/restapis/API/resources/ROOT", `{"pathPart":"products"}`), 409, exists, "Another resource with the same parent already has this name: products"},
		{recorded, "deployment in use by a stage", remove(deployments + "/FIRST"), 400, bad, "Active stages pointing to this deployment must be moved or deleted"},
		{thirdParty, "no methods", post("/restapis/"+bare.ID+"/deployments", `{}`), 400, bad, "The REST API doesn't contain any methods"},
		{thirdParty, "no integration", post("/restapis/"+without.ID+"/deployments", `{}`), 404, missing, "No integration defined for method"},
		{recorded, "bad operation", update("plain", "bogus /description x"), 400, "ValidationException",
			"1 validation error detected: Value 'bogus' at 'updateStageInput.patchOperations.1.member.op' failed to satisfy constraint: Member must satisfy enum value set: [add, remove, move, test, replace, copy]"},
		{recorded, "bad integration type", put(integration, `{"type":"BOGUS"}`), 400, "ValidationException",
			"1 validation error detected: Value 'BOGUS' at 'putIntegrationInput.type' failed to satisfy constraint: Member must satisfy enum value set: [HTTP, MOCK, AWS_PROXY, HTTP_PROXY, AWS]"},
		{recorded, "wrong JSON type", request{"PATCH", stages + "/plain", `{"patchOperations":[{"op":7}]}`}, 400, "SerializationException", "..."},
		{recorded, "a list for an object", request{"PATCH", stages + "/plain", `[]`}, 400, "SerializationException", "..."},
		{recorded, "half a body", request{"PATCH", stages + "/plain", `{"patchOperations":`}, 400, "SerializationException", "..."},
		{recorded, "integration without an ARN", put(integration, `{"type":"AWS_PROXY","httpMethod":"POST","uri":"nonsense"}`), 400, bad, "Invalid ARN specified in the request"},
		{recorded, "integration without an action", put(integration, `{"type":"AWS_PROXY","httpMethod":"POST","uri":"arn:aws:apigateway:eu-central-1:lambda:nonsense"}`), 400, bad, "AWS ARN for integration must contain path or action"},

		// 2.3
		{recorded, "canary deployment without a stage", post(deployments, `{"canarySettings":{"percentTraffic":10}}`), 400, bad,
			"Invalid deployment content specified.Non null and non empty stageName must be provided for canary deployment. Provided value is null"},
		{recorded, "canary deployment on an empty stage", post(deployments, `{"stageName":"","canarySettings":{"percentTraffic":10}}`), 400, bad,
			"Invalid deployment content specified.Non null and non empty stageName must be provided for canary deployment. Provided value is "},
		{recorded, "canary deployment on no stage", post(deployments, `{"stageName":"nope","canarySettings":{"percentTraffic":10}}`), 400, bad,
			"Invalid deployment content specified.Stage nope must already be created before making a canary release deployment"},
		{thirdParty, "plain deployment on a canary", post(deployments, `{"stageName":"canaried"}`), 400, bad,
			"Invalid deployment content specified.Non canary deployment not supported on stage canaried because Canary is enabled. Provide CanarySettings in deploymentInput."},
		{recorded, "stage with an unknown canary deployment", post(stages, `{"stageName":"new","deploymentId":"FIRST","canarySettings":{"deploymentId":"nope"}}`), 400, bad, "Deployment id does not exist"},
		{recorded, "unknown canary deployment", update("plain", "replace /canarySettings/deploymentId nope"), 400, bad, "Deployment id does not exist"},
		{recorded, "add a canary deployment", update("plain", "add /canarySettings/deploymentId SECOND"), 400, bad, "Invalid add operation with path: /canarySettings/deploymentId"},
		{recorded, "remove the overrides", update("canaried", "remove /canarySettings/stageVariableOverrides"), 400, bad,
			"Cannot remove method setting canarySettings/stageVariableOverrides because there is no method setting for this method "},
		{recorded, "remove an unknown leaf", update("canaried", "remove /canarySettings/badPath"), 400, bad,
			"Cannot remove method setting canarySettings/badPath because there is no method setting for this method "},
		{recorded, "replace the canary", update("canaried", "replace /canarySettings x"), 400, bad,
			"Invalid method setting path: /canarySettings. Must be one of: [/deploymentId, /description, /cacheClusterEnabled, ..."},
		{recorded, "replace an unknown leaf", update("canaried", "replace /canarySettings/badPath x"), 400, bad,
			"Invalid method setting path: /canarySettings/badPath. Must be one of: " + stagePaths},
		{recorded, "copy from elsewhere", update("canaried", "copy /canarySettings/stageVariableOverrides /variables"), 400, bad,
			"Invalid copy operation with path: /canarySettings/stageVariableOverrides and from /variables. Valid copy:path are [/deploymentId, /variables] and valid copy:from are [/canarySettings/deploymentId, /canarySettings/stageVariableOverrides]"},
		{recorded, "copy variables without a canary", update("plain", "copy /variables /canarySettings/stageVariableOverrides"), 400, bad, "Promotion not available. Canary does not exist."},
		{recorded, "copy a deployment without a canary", update("plain", "copy /deploymentId /canarySettings/deploymentId"), 400, bad, "Promotion not available. Canary does not exist."},
		{unverified, "copy crosswise", update("canaried", "copy /variables /canarySettings/deploymentId"), 400, bad, "Invalid copy operation with path: /variables and from /canarySettings/deploymentId. ..."},
		{documented, "percent above 100", update("canaried", "replace /canarySettings/percentTraffic 100.5"), 400, bad, "..."},
		{documented, "percent below 0", update("canaried", "replace /canarySettings/percentTraffic -1"), 400, bad, "..."},
		{documented, "percent that is no number", update("canaried", "replace /canarySettings/percentTraffic NaN"), 400, bad, "..."},
		{documented, "percent above 100 in a deployment", post(deployments, `{"stageName":"prod","canarySettings":{"percentTraffic":101}}`), 400, bad, "..."},
		{documented, "a variable's name of 65", update("plain", "replace /variables/"+long+" x"), 400, bad, "..."},
		{documented, "a variable's value of 513", update("plain", "replace /variables/a "+strings.Repeat("a", 513)), 400, bad, "..."},
		{documented, "a variable's value with a brace", update("plain", "replace /variables/a {"), 400, bad, "..."},
		{documented, "an override's value with a brace", update("canaried", "replace /canarySettings/stageVariableOverrides/a {"), 400, bad, "..."},
		{documented, "another deployment while a canary is on", update("canaried", "replace /deploymentId SECOND"), 400, bad, "..."},
		{unverified, "remove a canary that is not there", update("plain", "remove /canarySettings"), 400, bad, "..."},
	} {
		fact(t, test.evidence, test.name, func(t *testing.T) {
			status, kind, body := c.ask(test.request)
			var said struct {
				Message *string `json:"message"`
			}
			c.must(json.Unmarshal([]byte(body), &said))
			if status != test.status || kind != test.kind || said.Message == nil || !has(*said.Message, test.message) {
				t.Errorf("%s %s\ngot  %d %s %s\nwant %d %s %q", test.method, test.path, status, kind, body, test.status, test.kind, test.message)
			}
		})
	}
}

// TestPatchPaths is aws.md 2.4: which operation goes where. What is not said to go is refused.
func TestPatchPaths(t *testing.T) {
	c := conforming(t)
	all := []string{"add", "remove", "replace", "copy", "move", "test"}
	for _, row := range []struct {
		evidence
		path, value string
		from        string // of a copy
		ops         string // that go
	}{
		{documented, "/deploymentId", "FIRST", "/canarySettings/deploymentId", "replace copy"},
		{recorded, "/variables", "x", "/canarySettings/stageVariableOverrides", "copy"},
		{recorded, "/variables/lambdaAlias", "dev", "/variables", "replace remove"},
		{recorded, "/canarySettings", "x", "/variables", "remove"},
		{recorded, "/canarySettings/percentTraffic", "20", "/variables", "replace"},
		{recorded, "/canarySettings/deploymentId", "SECOND", "/deploymentId", "replace"},
		{documented, "/canarySettings/useStageCache", "true", "/variables", "replace"},
		{recorded, "/canarySettings/stageVariableOverrides/lambdaAlias", "dev", "/variables/lambdaAlias", "replace remove"},
		{recorded, "/canarySettings/stageVariableOverrides", "x", "/variables", ""},
		{documented, "/description", "x", "/variables", "replace"},
		{documented, "/tracingEnabled", "true", "/variables", "replace"},
		{documented, "/cacheClusterEnabled", "true", "/variables", "replace"},
		{documented, "/cacheClusterSize", "0.5", "/variables", "replace"},
		{documented, "/accessLogSettings/format", "$context.requestId", "/variables", "replace add"},
		{documented, "/accessLogSettings/destinationArn", "arn:aws:logs:eu-central-1:000000000000:log-group:x", "/variables", "replace add"},
		{documented, "/accessLogSettings", "x", "/variables", "remove"},
		{documented, "/*/*/throttling/rateLimit", "5", "/variables", "replace"},
		{documented, "/*/*/throttling/burstLimit", "5", "/variables", "replace"},
		{documented, "/~1products/GET/logging/loglevel", "INFO", "/variables", "replace"},
		{documented, "/~1products/GET/metrics/enabled", "true", "/variables", "replace"},
		{documented, "/~1products/GET/caching/enabled", "true", "/variables", "replace"},
		{recorded, "/nothing", "x", "/variables", ""},
	} {
		for _, op := range all {
			goes := strings.Contains(" "+row.ops+" ", " "+op+" ")
			known, name := row.evidence, op+" "+row.path
			if !goes { // the guide's table of operations leaves it out
				known, name = documented, "no "+name
			}
			fact(t, known, name, func(t *testing.T) {
				c.ask(remove("/restapis/API/stages/tried"))
				status, _, body := c.ask(post("/restapis/API/stages", `{"stageName":"tried","deploymentId":"FIRST","variables":{"lambdaAlias":"prod"},`+
					`"canarySettings":{"percentTraffic":10,"deploymentId":"FIRST","stageVariableOverrides":{"lambdaAlias":"staging"}}}`))
				if status != 201 {
					t.Fatalf("%d %s", status, body)
				}
				text := op + " " + row.path
				switch op {
				case "copy":
					text += " " + row.from
				case "add", "replace":
					text += " " + row.value
				}
				_, _, before := c.ask(get("/restapis/API/stages/tried"))
				status, kind, body := c.ask(update("tried", text))
				if goes != (status == 200) || !goes && kind != "BadRequestException" {
					t.Errorf("%s: %d %s %s", text, status, kind, body)
				}
				_, _, after := c.ask(get("/restapis/API/stages/tried"))
				if !goes && after != before {
					t.Errorf("refused, and yet %s became %s", before, after)
				}
			})
		}
	}
}
