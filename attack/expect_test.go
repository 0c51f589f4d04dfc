package attack

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestExpect(t *testing.T) {
	check := func(e Expect, status int, body string, want Class) {
		t.Helper()
		if err := e.validate(); err != nil {
			t.Fatal(err)
		}
		x := e.parse()
		if got := x.class(&reply{status: status, body: []byte(body)}); got != want {
			t.Errorf("%+v of status %d, %q: %q, want %q", e, status, body, got, want)
		}
	}
	check(Expect{}, 200, "", "")
	check(Expect{}, 201, "", Wrong)
	check(Expect{}, 404, "", ClientError)
	check(Expect{Status: []int{404, 201}}, 404, "", "")
	check(Expect{Status: []int{404, 201}}, 200, "", Wrong)
	check(Expect{Status: []int{503}}, 503, "", "")
	check(Expect{Status: []int{302}}, 302, "", "")
	products := Expect{JSON: map[string]Shape{"/products": {MinItems: 2}}}
	check(products, 200, `{"products":[1,2]}`, "")
	check(products, 200, `{"products":[1, {"a":[3,4]} ]}`, "")
	check(products, 200, `{"products":[1]}`, Wrong)
	check(products, 200, `{"products":[]}`, Wrong)
	check(products, 200, `{"products":{"a":1,"b":2}}`, Wrong)
	check(products, 200, `{"products":[1,2]`, Wrong)
	check(products, 200, `{}`, Wrong)
	check(products, 500, `{}`, ServerError)
	check(Expect{JSON: map[string]Shape{"/a": {}, "/b": {}}}, 200, `{"a":null,"b":0}`, "")
	check(Expect{JSON: map[string]Shape{"/a": {}, "/b": {}}}, 200, `{"a":1}`, Wrong)
	check(Expect{JSON: map[string]Shape{"": {MinItems: 1}}}, 200, `[0]`, "")
}

// An expected status of 404 is no cause for naming no version.
func TestExpectedStatusIsNoCause(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	got := attack(t, Plan{Target: target(s.URL), MaxHits: 3, Connections: 1, Duration: 5 * time.Second, Expect: Expect{Status: []int{404}}, Classify: byHeader(t)})
	if tally := got.all.Unattributed[Unrecognised]; tally == nil || tally.Hits != 3 || tally.Failed() != 0 || tally.Response.Total() != 3 {
		t.Errorf("%v", got.all.Unattributed)
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"token":"abc","user":"ann@example.com","id":123456789,"k":"AKIAIOSFODNN7EXAMPLE1","error":"no stock"}` + strings.Repeat(" end", 50)))
	}))
	defer s.Close()
	got := attack(t, Plan{Target: target(s.URL), MaxHits: 20, Connections: 4, Duration: 5 * time.Second, Expect: Expect{JSON: map[string]Shape{"/products": {MinItems: 1}}}})
	if got.errors()[Wrong] != 20 || len(got.Examples) != maxExamples {
		t.Fatalf("errors %v, examples %q", got.errors(), got.Examples)
	}
	const want = `status 200, 302 bytes, not JSON: {"token":[redacted],"user":"[mail]","id":[digits],"k":"[redacted]","error":"no stock"} end end end end end end end end e...`
	if got.Examples[0] != want {
		t.Errorf("%s, want\n%s", got.Examples[0], want)
	}
}

func TestExampleSaysWhatIsMissing(t *testing.T) {
	x := Expect{Status: []int{200}, JSON: map[string]Shape{"/products": {MinItems: 2}}}.parse()
	check := func(status int, body, want string) {
		t.Helper()
		if got := x.example(&reply{status: status, body: []byte(body), size: int64(len(body))}, nil); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	check(200, `{"items":[]}`, `status 200, 12 bytes, no /products: {"items":[]}`)
	check(200, `{"products":[1]}`, `status 200, 16 bytes, /products has 1 items, want 2: {"products":[1]}`)
	check(200, `{"products":1}`, `status 200, 14 bytes, /products is not an array: {"products":1}`)
	check(200, ``, `status 200, 0 bytes, not JSON`)
	check(202, `later`, `status 202, 5 bytes: later`)
}

func TestRedact(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		if got := redact([]byte(text), exampleBytes); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	check("", "")
	check("plain words, 1234", "plain words, 1234")
	check("\x1b[31mred\x00\xff\nline", "[31mred ? line")
	check(`{"password": "hunter2", "a": 1}`, `{"password": [redacted], "a": 1}`)
	check(`{"apiKey":12,"a":1}`, `{"apiKey":[redacted],"a":1}`)
	check(`{"sessionId":"x\"y","a":1}`, `{"sessionId":[redacted],"a":1}`)
	check("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "Bearer [redacted]")
	check("card 4111 1111 1111 1111, phone 0815123456", "card [digits], phone [digits]")
	long := strings.Repeat("x ", 60) // a token that begins before the end of what is shown
	check(long[:110]+"abcdefghijklmnopqrstuvwxyz", long[:110]+"[redacted]")
	// A token cut at the end of what is looked at does not look short.
	if got := redact([]byte(strings.Repeat("abcdefghijklmnopqrstuvwxyz", 43)+" ab12 "+strings.Repeat("s", 100)), exampleBytes); strings.Contains(got, "sss") {
		t.Errorf("%q", got)
	}
}
