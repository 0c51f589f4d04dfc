package emulator

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/smithy-go/encoding/cbor"
)

// FuzzPatch: whatever is sent, a stage stays one that can be served, a refusal changes nothing, and what PATCH answers is what GET reads.
func FuzzPatch(f *testing.F) {
	for _, body := range []string{
		`{"patchOperations":[{"op":"replace","path":"/canarySettings/percentTraffic","value":"50.0"},{"op":"copy","path":"/variables","from":"/canarySettings/stageVariableOverrides"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/canarySettings/stageVariableOverrides/a","value":"b"},{"op":"remove","path":"/canarySettings/stageVariableOverrides/a"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/*/*/throttling/rateLimit","value":"1e3"},{"op":"remove","path":"/*/*"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/~1products/GET/logging/loglevel","value":"INFO"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/~1products/GET/throttling/burstLimit","value":"9223372036854775807"},{"op":"replace","path":"/~1products/GET/throttling/rateLimit","value":"1e-300"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/cacheClusterEnabled","value":"true"},{"op":"replace","path":"/*/*/caching/enabled","value":"true"},{"op":"replace","path":"/*/*/caching/ttlInSeconds","value":"3600"}]}`,
		`{"patchOperations":[{"op":"replace","path":"/~1/GET/throttling/rateLimit","value":"-1"},{"op":"replace","path":"/~0~1/GET/throttling/rateLimit","value":"0"}]}`,
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
		for range 2 { // 500: no variable names an alias
			w := httptest.NewRecorder()
			s.server.ServeHTTP(w, httptest.NewRequest("GET", "/restapis/"+s.api+"/fuzzed/_user_request_/products", nil))
			if status == 200 && w.Code != 200 && w.Code != 429 && w.Code != 500 {
				t.Fatalf("after %s the stage answers %d %s", body, w.Code, w.Body)
			}
		}
	})
}

// FuzzControl: no request takes the server down, and every answer is well formed.
func FuzzControl(f *testing.F) {
	for pattern := range controlOperations {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{api}", "API", "{resource}", "RESOURCE", "{verb}", "GET", "{stage}", "prod", "{function}", "getProducts",
			"{alias}", "prod", "{arn...}", "arn:aws:apigateway:eu-central-1::/restapis/API", "{type}", "DEFAULT_4XX", "{status}", "200",
			"{deployment}", "DEPLOYMENT", "{sid}", "gateway", "{domain}", "api.example.com", "{base}", "(none)").Replace(path)
		f.Add(method, path, `{"name":"x","tags":{"a":"b"}}`)
	}
	f.Add("POST", "/", "Action=GetCallerIdentity")
	f.Add("DELETE", "/tags", "")
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

// FuzzQuery: whatever form is sent, the answer is XML.
func FuzzQuery(f *testing.F) {
	f.Add("Action=GetCallerIdentity&Version=2011-06-15")
	f.Add("Action=SimulatePrincipalPolicy&PolicySourceArn=" + callerARN + "&ActionNames.member.1=lambda:GetAlias&ResourceArns.member.1=a&ResourceArns.member.2=b&MaxItems=1")
	f.Add("Action=SimulatePrincipalPolicy&PolicySourceArn=" + callerARN + "&ActionNames.member.1=\x00&Marker=MQ")
	f.Add("Action=<a>&Version=%zz")
	s := start(f, Faults{Control: Control{Deny: []string{"lambda:*"}}})
	f.Fuzz(func(t *testing.T, form string) {
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(form)))
		d := xml.NewDecoder(w.Body)
		elements := 0
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v", form, err)
			}
			if _, isElement := token.(xml.StartElement); isElement {
				elements++
			}
		}
		if w.Code != 200 && w.Code != 400 && w.Code != 404 || elements < 3 {
			t.Fatalf("%q: %d with %d elements", form, w.Code, elements)
		}
	})
}

// FuzzMetrics: whatever is sent as CBOR, it is answered in CBOR.
func FuzzMetrics(f *testing.F) {
	query := cbor.Map{"Id": cbor.String("m"), "MetricStat": cbor.Map{"Period": cbor.Uint(60), "Stat": cbor.String("Sum"), "Metric": cbor.Map{
		"Namespace": cbor.String("AWS/ApiGateway"), "MetricName": cbor.String("Count"), "Dimensions": cbor.List{cbor.Map{"Name": cbor.String("ApiName"), "Value": cbor.String("products")}}}}}
	for _, end := range []cbor.Value{cbor.Float64(4e9), cbor.Uint(0), cbor.String("x"), &cbor.Tag{ID: 1, Value: cbor.Float64(4e9)}} {
		f.Add(cbor.Encode(cbor.Map{"StartTime": cbor.Uint(0), "EndTime": end, "MetricDataQueries": cbor.List{query}}))
	}
	s := startStack(f, Faults{})
	s.get("prod", "/products")
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, httptest.NewRequest("POST", "/service/GraniteServiceVersion20100801/operation/GetMetricData", bytes.NewReader(body)))
		if v, err := cbor.Decode(w.Body.Bytes()); err != nil || w.Code != 200 && w.Code != 400 {
			t.Fatalf("%d %v: %v", w.Code, v, err)
		}
	})
}

// FuzzTarget: whatever JSON is sent to whatever operation without a path, it is answered in JSON.
func FuzzTarget(f *testing.F) {
	for target := range targetOperations {
		f.Add(target, `{"logGroupName":"g","deploymentIds":["d"],"deploymentId":"d","targetIds":["x"],"logStreamName":"s","limit":1,"nextToken":"Zi8x"}`)
	}
	f.Add("Logs_20140328.Nothing", "")
	s := start(f, Faults{CodeDeploy: []Deployment{{Function: "f", Alias: "a", Status: "Created"}}})
	f.Fuzz(func(t *testing.T, target, body string) {
		if target == "" || strings.ContainsAny(target, "\r\n\x00") {
			t.Skip()
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, r)
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) || w.Code != 200 && w.Code != 400 {
			t.Fatalf("%s %q: %d %s", target, body, w.Code, w.Body)
		}
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

// FuzzDomains: what can be created is read back as it was answered, leads somewhere or is forbidden, and can be deleted.
func FuzzDomains(f *testing.F) {
	f.Add(`{"domainName":"api.example.com","certificateArn":"x"}`, `{"restApiId":"API","basePath":"shop","stage":"prod"}`, "/shop/products")
	f.Add(`{"domainName":"*.Example.com","endpointConfiguration":{"types":["REGIONAL"]},"tags":{"a":"b"}}`, `{"restApiId":"API"}`, "/prod/products")
	f.Add(`{"domainName":"a.b","endpointConfiguration":{"types":["PRIVATE"]}}`, `{"restApiId":"API","basePath":"(none)","stage":"(none)"}`, "//prod//")
	f.Add(`{"domainName":"a-.b","tags":{"aws:x":"y"}}`, `{"restApiId":"API","basePath":"a/b"}`, "/%2f/products?a=b")
	f.Add(`{"domainName":"127.0.0.1"}`, `[]`, "/")
	f.Add(`{"domainName":"a.b"}`, `{"restApiId":"API","basePath":".."}`, "/../products") // what it names could not be read back
	f.Add(`{"domainName":"a.b","domainNameStatus":"FAILED","regionalDomainName":"x"}`, `{"restApiId":"API","basePath":"$-_.+!*'()","stage":"prod"}`, "/$-_.+!*'()/products")
	f.Add(`{"domainName":"a.b","certificateUploadDate":1e300}`, `{"basePath":1}`, "")
	s := startStack(f, Faults{Gateway: Gateway{AccountRate: 1e9}})
	ask := func(t *testing.T, method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(strings.ReplaceAll(body, "API", s.api))))
		if text := w.Body.String(); text != "" && !json.Valid([]byte(text)) || w.Code >= 500 {
			t.Fatalf("%s %s %s: %d %q", method, path, body, w.Code, text)
		}
		return w.Code, w.Body.String()
	}
	f.Fuzz(func(t *testing.T, body, mapped, path string) {
		s.server.control.domains = map[string]*domain{} // what a failure left would fail whatever it is reduced to
		status, made := ask(t, "POST", "/domainnames", body)
		if status != 201 {
			if len(s.server.control.domains) != 0 {
				t.Fatalf("%d %s, and yet it is there", status, made)
			}
			return
		}
		var d domain
		if err := json.Unmarshal([]byte(made), &d); err != nil {
			t.Fatal(err)
		}
		at := "/domainnames/" + url.PathEscape(d.Name)
		if _, read := ask(t, "GET", at, ""); read != made {
			t.Fatalf("made %s, read %s", made, read)
		}
		if (d.RegionalName == "") == (d.Distribution == "") || d.Status != "AVAILABLE" {
			t.Fatalf("a domain that cannot be: %s", made)
		}
		if status, made := ask(t, "POST", at+"/basepathmappings", mapped); status == 201 {
			var m mapping
			if err := json.Unmarshal([]byte(made), &m); err != nil {
				t.Fatal(err)
			}
			one := at + "/basepathmappings/" + url.PathEscape(m.BasePath)
			if status, read := ask(t, "GET", one, ""); status != 200 || read != made {
				t.Fatalf("made %s, read %d %s", made, status, read)
			}
			if status, _ := ask(t, "POST", at+"/basepathmappings", mapped); status != 409 {
				t.Fatalf("%s was mapped twice: %d", mapped, status)
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.Host, r.URL = strings.Replace(d.Name, "*", "any", 1), &url.URL{Path: path}
			w := httptest.NewRecorder()
			s.server.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 403 {
				t.Fatalf("%s on %s: %d %s", path, made, w.Code, w.Body)
			}
			if status, _ := ask(t, "DELETE", one, ""); status != 202 {
				t.Fatalf("deleting %s: %d", one, status)
			}
		}
		if status, _ := ask(t, "DELETE", at, ""); status != 202 || len(s.server.control.domains) != 0 {
			t.Fatalf("deleting %s: %d", at, status)
		}
	})
}

// FuzzAdmission: whatever is signed or denied, a request is admitted or refused, with a sentence for a person.
func FuzzAdmission(f *testing.F) {
	f.Add("20260102T115459Z", "AWS4-HMAC-SHA256 Credential=AKIA/20260102/eu-central-1/apigateway/aws4_request", "apigateway:*", "/account")
	f.Add("99991231T235959Z", "Credential=////", "lambda:[", "/2015-03-31/functions/a:b:c?Qualifier=x")
	f.Add("", "", "*", "/2017-03-31/tags/arn:aws:lambda:x")
	f.Add("x", "Credential=a/b/../d/e", "a:\\", "/restapis/x/stages/%2f")
	s := start(f, Faults{})
	f.Fuzz(func(t *testing.T, stamp, authorization, deny, path string) {
		faults := Faults{Control: Control{Deny: []string{deny}}}
		if faults.Validate() != nil || s.server.SetFaults(faults) != nil {
			t.Skip()
		}
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || strings.Contains(path, "_user_request_") {
			t.Skip()
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL, r.Header = u, http.Header{"X-Amz-Date": {stamp}, "Authorization": {authorization}}
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, r)
		var said struct{ Message string }
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || w.Code >= 400 && said.Message == "" || w.Code >= 500 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
	})
}
