package attack

import "testing"

func TestByAlias(t *testing.T) {
	rules, err := ParseClassifier([]string{"header:X-Lambda-Version"})
	if err != nil {
		t.Fatal(err)
	}
	classify := ByAlias(rules, map[string]string{"prod": "1", "staging": "2"})
	const gateways, marked = "X-Amzn-Errortype", "X-Lambda-Version"
	for _, tc := range []struct {
		name    string
		status  int
		headers map[string]string
		body    string
		version string
		cause   Cause
	}{
		{"the canary's alias", 500, map[string]string{gateways: "InternalServerErrorException"}, `{"message":"x","alias":"staging"}`, "2", ""},
		{"the baseline's, timed out", 504, map[string]string{gateways: "InternalServerErrorException"}, `{"alias": "prod"}`, "1", ""},
		{"another alias", 500, map[string]string{gateways: "InternalServerErrorException"}, `{"alias":"dev"}`, "", Unrecognised},
		{"no alias", 500, map[string]string{gateways: "InternalServerErrorException"}, `{"message": "Internal server error"}`, "", Unrecognised},
		{"a function's own error", 500, nil, `{"alias":"staging"}`, "", Unrecognised},
		{"throttled, which is nobody's", 429, map[string]string{gateways: "TooManyRequestsException"}, `{"alias":"staging"}`, "", Unrecognised},
		{"marked all the same", 500, map[string]string{gateways: "x", marked: "3"}, `{"alias":"staging"}`, "3", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			headers := map[string][]byte{}
			for name, value := range tc.headers {
				headers[name] = []byte(value)
			}
			a := Answer{Status: tc.status, Body: []byte(tc.body), Header: func(name string) []byte { return headers[name] }}
			if version, cause := classify(a); string(version) != tc.version || cause != tc.cause {
				t.Errorf("version %q, cause %q; want %q, %q", version, cause, tc.version, tc.cause)
			}
			if n := testing.AllocsPerRun(100, func() { classify(a) }); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
