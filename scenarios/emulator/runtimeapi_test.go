package emulator

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// runtime is a function's runtime, by hand.
type handRuntime struct {
	testing.TB
	api *runtimeAPI
	url string
}

func newHandRuntime(t *testing.T) *handRuntime {
	api := newRuntimeAPI()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return &handRuntime{t, api, server.URL + "/2018-06-01/runtime/"}
}

func (r *handRuntime) next() *http.Response {
	r.Helper()
	resp, err := http.Get(r.url + "invocation/next")
	if err != nil {
		r.Fatal(err)
	}
	return resp
}

func (r *handRuntime) post(path, body string) (int, string) {
	r.Helper()
	resp, err := http.Post(r.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(said)
}

// give puts a task in the way of the next who asks.
func (r *handRuntime) give(id string) *task {
	t := &task{
		id: id, arn: "arn:fn:prod", trace: "Root=1-2", payload: []byte(`{"a":1}`), context: []byte(`{"custom":{}}`),
		deadline: time.UnixMilli(1234567890123), done: make(chan result, 1),
	}
	go func() { r.api.tasks <- t }()
	return t
}

func TestRuntimeAPI(t *testing.T) {
	r := newHandRuntime(t)
	first := r.give("id-1")
	resp := r.next()
	body, _ := io.ReadAll(resp.Body)
	for name, want := range map[string]string{
		"Lambda-Runtime-Aws-Request-Id":       "id-1",
		"Lambda-Runtime-Deadline-Ms":          "1234567890123",
		"Lambda-Runtime-Invoked-Function-Arn": "arn:fn:prod",
		"Lambda-Runtime-Trace-Id":             "Root=1-2",
		"Lambda-Runtime-Client-Context":       `{"custom":{}}`,
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if resp.StatusCode != 200 || string(body) != `{"a":1}` {
		t.Errorf("next: %d %s", resp.StatusCode, body)
	}
	<-r.api.ready // it has asked, so it has started

	// Out of turn, or for somebody else.
	if again := r.next(); again.StatusCode != 403 {
		t.Errorf("next without an answer: %d", again.StatusCode)
	}
	if code, said := r.post("invocation/id-2/response", "{}"); code != 400 || !strings.Contains(said, "InvalidRequestID") {
		t.Errorf("answer to nobody: %d %s", code, said)
	}
	if code, _ := r.post("invocation/id-1/response", `{"b":2}`); code != 202 {
		t.Errorf("response: %d", code)
	}
	if got := <-first.done; string(got.payload) != `{"b":2}` || got.err != nil {
		t.Errorf("%s %v", got.payload, got.err)
	}
	if code, _ := r.post("invocation/id-1/response", `{"b":3}`); code != 400 {
		t.Errorf("a second answer: %d", code)
	}
}

func TestRuntimeAPIErrors(t *testing.T) {
	r := newHandRuntime(t)
	ask := func(id string) *task {
		given := r.give(id)
		r.next().Body.Close()
		return given
	}
	failed := func(given *task) *functionError {
		got := <-given.done
		err, is := got.err.(*functionError)
		if !is {
			t.Fatalf("%s: %s %v", given.id, got.payload, got.err)
		}
		return err
	}
	said := ask("said")
	r.post("invocation/said/error", `{"errorMessage":"no lamp","errorType":"NoLamp","stackTrace":[]}`)
	if e := failed(said); e.Message != "no lamp" || e.Type != "NoLamp" || string(e.encoded()) != `{"errorMessage":"no lamp","errorType":"NoLamp","stackTrace":[]}` {
		t.Errorf("%+v", e)
	}
	mute := ask("mute")
	r.post("invocation/mute/error", `oh`)
	if e := failed(mute); e.Message == "" || !strings.HasPrefix(string(e.encoded()), `{"errorMessage":"`) {
		t.Errorf("%+v", e)
	}
	large := ask("large")
	if code, _ := r.post("invocation/large/response", strings.Repeat("x", maxAnswer+1)); code != 413 {
		t.Errorf("too large an answer: %d", code)
	}
	if e := failed(large); e.Type != "Function.ResponseSizeTooLarge" {
		t.Errorf("%+v", e)
	}
	late := ask("late")
	req, _ := http.NewRequest("POST", r.url+"invocation/late/response", io.MultiReader(strings.NewReader("half")))
	req.Trailer = http.Header{"Lambda-Runtime-Function-Error-Type": {"Stream.Broken"}}
	if _, err := http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	if e := failed(late); e.Type != "Stream.Broken" {
		t.Errorf("%+v", e)
	}
	for i := range 2 { // the second is one too many, and hurts nobody
		if code, _ := r.post("init/error", fmt.Sprintf(`{"errorMessage":"no database %d","errorType":"Init"}`, i)); code != 202 {
			t.Errorf("init error: %d", code)
		}
	}
	if e := <-r.api.broken; e.Message != "no database 0" {
		t.Errorf("%+v", e)
	}
}

// A runtime that went away while it waited takes no task with it.
func TestRuntimeAPIGone(t *testing.T) {
	api := newRuntimeAPI()
	server := httptest.NewServer(api)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/2018-06-01/runtime/invocation/next", nil)
	go http.DefaultClient.Do(req)
	<-api.ready
	server.CloseClientConnections()
	server.Close() // returns when nobody waits any longer
	select {
	case api.tasks <- &task{}:
		t.Error("taken by nobody")
	default:
	}
}
