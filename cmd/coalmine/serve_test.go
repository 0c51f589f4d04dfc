package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"coalmine/analyze"
)

func TestServeAddress(t *testing.T) {
	for address, want := range map[string]string{
		"":                 "",
		"127.0.0.1:0":      "",
		"localhost:80":     "",
		"[::1]:80":         "",
		"8080":             "want HOST:PORT",
		":8080":            "can be reached by other machines: want 127.0.0.1:PORT, or --serve-anywhere",
		"0.0.0.0:8080":     "can be reached by other machines",
		"example.com:8080": "can be reached by other machines",
	} {
		err := (&live{address: address}).check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
	if err := (&live{address: "0.0.0.0:80", anywhere: true}).check(); err != nil {
		t.Error(err)
	}
	if err := (&live{anywhere: true}).check(); err == nil {
		t.Error("--serve-anywhere alone is no mistake")
	}
}

func opened(t *testing.T) *live {
	t.Helper()
	l := &live{address: "127.0.0.1:0"}
	if err := l.open(world{stderr: io.Discard}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.close(judged{}) })
	return l
}

func get(t *testing.T, address, host string) (int, string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Header
}

// A page elsewhere that has its own name lead to 127.0.0.1 gets nothing.
func TestServeHosts(t *testing.T) {
	l := opened(t)
	for host, want := range map[string]int{"": 200, "localhost:1": 200, "127.0.0.1": 200, "[::1]:9": 200, "evil.example": 421, "127.0.0.1.evil.example:80": 421, "192.0.2.1": 421} {
		code, body, header := get(t, l.url, host)
		if code != want {
			t.Errorf("%q: %d, want %d", host, code, want)
		}
		if code == 200 && (!strings.Contains(body, "data-live") || header.Get("Cache-Control") != "no-store" || header.Get("Access-Control-Allow-Origin") != "") {
			t.Errorf("%q: %v", host, header)
		}
	}
	if code, _, _ := get(t, l.url+"other", ""); code != 404 {
		t.Errorf("another path: %d", code)
	}
	answer, err := http.Post(l.url, "text/plain", nil)
	if err != nil || answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v, %v", answer, err)
	}
	answer.Body.Close()
}

// A viewer is told how things stand, and how they ended; then the connection ends.
func TestServeEvents(t *testing.T) {
	beside(t)
	l := opened(t)
	answer, err := http.Get(l.url + "events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReaderSize(answer.Body, 1<<20)
	next := func() (update struct {
		Title string
		Body  string
		Ended bool
	}) {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				if err := json.Unmarshal([]byte(data), &update); err != nil {
					t.Fatal(err)
				}
				return update
			}
		}
	}
	if line, err := lines.ReadString('\n'); err != nil || line != ": coalmine\n" {
		t.Fatal(line, err)
	}
	policy := analyze.DefaultPolicy(true).Complete(0.5)
	a := analyze.Analysis{Header: analyze.Header{Policy: &policy, Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}}}
	l.watch(judged{a})
	if update := next(); update.Title != "RUNNING version 2 over version 1" || !strings.Contains(update.Body, "<h2>Checks</h2>") || update.Ended {
		t.Errorf("%+v", update)
	}
	a.End.Reason = "verdict"
	a.Conclusion.Verdict = analyze.Reject
	l.close(judged{a})
	if update := next(); update.Title != "REJECT version 2 over version 1" || !update.Ended {
		t.Errorf("the end: %+v", update)
	}
	if rest, err := io.ReadAll(lines); err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

// Who does not read keeps nobody waiting, and finds the newest when it does.
func TestServeSlowViewer(t *testing.T) {
	viewer := make(chan []byte, 1)
	for _, update := range []string{"1", "2", "3"} {
		offer(viewer, []byte(update))
	}
	if got := <-viewer; string(got) != "3" {
		t.Errorf("%s", got)
	}
}
