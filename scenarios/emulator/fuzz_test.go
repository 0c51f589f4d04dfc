package emulator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzPatch: whatever is sent, a stage stays one that can be served, a refusal changes nothing, and what PATCH answers is what GET reads.
func FuzzPatch(f *testing.F) {
	for _, body := range []string{
		`{"patchOperations":[{"op":"replace","path":"/canarySettings/percentTraffic","value":"50.0"},{"op":"copy","path":"/variables","from":"/canarySettings/stageVariableOverrides"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/canarySettings/stageVariableOverrides/a","value":"b"},{"op":"remove","path":"/canarySettings/stageVariableOverrides/a"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/*/*/throttling/rateLimit","value":"1e3"},{"op":"remove","path":"/*/*"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/~1products/GET/logging/loglevel","value":"INFO"}]}`,
		`{"patchOperations":[{"op":"remove","path":"/canarySettings"},{"op":"add","path":"/accessLogSettings/format","value":"x"},{"op":"test","path":"/"}]}`,
		`{"patchOperations":[{"op":"replace","path":"//","value":"\u0000"}]}`, `{"patchOperations":null}`, `null`, `[]`, ``,
	} {
		f.Add(body)
	}
	s := startStack(f, Faults{})
	path := "/restapis/" + s.api + "/stages/fuzzed"
	ask := func(t *testing.T, method, body string) (int, string) {
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s answered %q", method, w.Body)
		}
		return w.Code, w.Body.String()
	}
	f.Fuzz(func(t *testing.T, body string) {
		s.server.control.apis[s.api].stages["fuzzed"] = &stage{StageName: "fuzzed", DeploymentID: s.deployed, MethodSettings: map[string]methodSettings{}}
		_, before := ask(t, "GET", "")
		status, patched := ask(t, "PATCH", body)
		_, after := ask(t, "GET", "")
		switch status {
		case 200:
			if patched != after {
				t.Fatalf("PATCH answered %s, GET reads %s", patched, after)
			}
		case 400:
			if before != after {
				t.Fatalf("refused %s, and yet %s became %s", body, before, after)
			}
		default:
			t.Fatalf("status %d: %s", status, patched)
		}
		var st stage
		if err := json.Unmarshal([]byte(after), &st); err != nil {
			t.Fatal(err)
		}
		if c := st.CanarySettings; c != nil && (!(c.PercentTraffic >= 0 && c.PercentTraffic <= 100) || c.DeploymentID != s.deployed) {
			t.Fatalf("a canary that cannot be: %+v", c)
		}
		if st.DeploymentID != s.deployed || st.StageName != "fuzzed" {
			t.Fatalf("a stage that cannot be: %+v", st)
		}
	})
}

// FuzzControl: no request takes the server down, and every answer is well formed.
func FuzzControl(f *testing.F) {
	for pattern := range controlOperations {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{api}", "API", "{resource}", "RESOURCE", "{verb}", "GET", "{stage}", "prod", "{function}", "getProducts",
			"{alias}", "prod", "{arn...}", "arn:aws:apigateway:eu-central-1::/restapis/API", "{type}", "DEFAULT_4XX", "{status}", "200",
			"{deployment}", "DEPLOYMENT", "{sid}", "gateway").Replace(path)
		f.Add(method, path, `{"name":"x","tags":{"a":"b"}}`)
	}
	f.Add("POST", "/", "Action=GetCallerIdentity")
	f.Add("GET", "/restapis/API/prod/_user_request_/products", "")
	f.Add("POST", "/restapis/API/resources/RESOURCE/methods/GET", `{"stageVariables":{"lambdaAlias":"prod"}}`)
	f.Add("POST", "/2015-03-31/functions/getProducts/invocations?Qualifier=prod", `{}`)
	f.Add("POST", "/2015-03-31/functions", `{"FunctionName":"f","Role":"`+role+`","Runtime":"x","Handler":"x","Code":{"ZipFile":"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}`)
	s := startStack(f, Faults{})
	names := strings.NewReplacer("API", s.api, "RESOURCE", s.resource, "DEPLOYMENT", s.deployed)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.ParseRequestURI(names.Replace(path))
		if err != nil || u.Host != "" || strings.ContainsAny(method, " \t\r\n/") || method == "" {
			t.Skip()
		}
		r, err := http.NewRequest(method, u.String(), strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 || w.Code == 307 || w.Code == 301 {
			t.Fatalf("%s %s: status %d", method, path, w.Code)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %q", method, path, w.Body)
		}
		if w.Code >= 500 && !strings.Contains(path, "_user_request_") {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	})
}

// FuzzProxied: whatever a function returns becomes an answer that can be written.
func FuzzProxied(f *testing.F) {
	for _, payload := range []string{`{"statusCode":200,"headers":{"A":"b"},"body":"x"}`, `{"statusCode":"404","multiValueHeaders":{"A":["b",1]}}`, `{"isBase64Encoded":true,"body":"eA=="}`, `{"headers":{"":null}}`} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if r := proxied(payload); r.status < 200 || r.status > 599 || r.kind != "" && r.status != 502 {
			t.Fatalf("%+v", r)
		}
	})
}

// FuzzTemplate: text without references stays as it is, references that are unknown too, and what is left of a format is one line of it.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{logFields, aliasBody, "$", "$$", "${", "${context.", "$context.requestId$context.status.", "$stageVariables.get('", "$context..x"} {
		f.Add(text)
	}
	x := &exchange{requestID: "id", arm: &arm{variables: map[string]string{"lambdaAlias": "prod"}}, request: httptest.NewRequest("GET", "/", nil)}
	f.Fuzz(func(t *testing.T, text string) {
		nothing := func(string) variable { return nil }
		if got := string(newTemplate(text, "", nothing).append(nil, x)); got != text {
			t.Fatalf("%q became %q", text, got)
		}
		marked := func(name string) variable {
			return func(b []byte, _ *exchange) []byte { return append(b, "<"+name+">"...) }
		}
		if got := string(newTemplate(text, "", marked).append(nil, x)); !strings.Contains(text, "$") && got != text {
			t.Fatalf("%q became %q", text, got)
		}
		logFormat(text).append(nil, x)
		newTemplate(text, "", responseVariable).append(nil, x)
		headerTemplate(text)
	})
}

// FuzzFilter: a pattern is refused or can be used, and its terms are what decides.
func FuzzFilter(f *testing.F) {
	for _, pattern := range []string{"a b", "?a ?b -c", `"a b" -"c\"d"`, "{ $.a = 1 }", `"`, "-"} {
		f.Add(pattern, "a b c")
	}
	f.Fuzz(func(t *testing.T, pattern, message string) {
		p, err := parseFilter(pattern)
		if err != nil {
			return
		}
		if len(p.some) == 0 && len(p.none) == 0 && !p.matches(strings.Join(p.all, " ")) {
			t.Fatalf("%q does not match its own terms %q", pattern, p.all)
		}
		if len(p.none) > 0 && p.matches(p.none[0]+message) {
			t.Fatalf("%q matches what it excludes", pattern)
		}
	})
}
