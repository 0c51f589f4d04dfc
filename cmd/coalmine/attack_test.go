package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/attack"
)

// shop answers as two versions in turn, and remembers what it was asked.
type shop struct {
	url  string
	mu   sync.Mutex
	seen []*http.Request
	body map[string]int
}

func newShop(t *testing.T) *shop {
	s := &shop{body: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, r)
		s.body[string(body)]++
		w.Header().Set("X-Lambda-Version", []string{"1", "2"}[len(s.seen)%2])
		if r.Method == "POST" {
			w.WriteHeader(201)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *shop) asked() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func put(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

// The README's example does what the README says, and no secret is written anywhere.
func TestTargetsInREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(readme), "cat > targets.txt <<'EOF'\n")
	targets, after, both := strings.Cut(after, "EOF\ncoalmine ")
	command, _, all := strings.Cut(after, "\nvegeta plot hits.gob > plot.html\n")
	if !found || !both || !all {
		t.Fatal("the README has no example of several targets")
	}
	t.Chdir(t.TempDir())
	put(t, "targets.txt", targets, 0o600)
	put(t, "order.json", `{"id":1}`, 0o600)
	put(t, "key.txt", "s3cret-key\n", 0o600)
	put(t, "token.sh", "#!/bin/sh\necho Bearer s3cret-token\n", 0o700)
	s := newShop(t)
	command = strings.NewReplacer("https://api.example.com", s.url, "\\\n", " ").Replace(command)
	code, stdout, stderr := coalmine(t, t.Context(), nil, append(strings.Fields(command), "--duration", "380ms", "--out", "run.ndjson", "--format", "json")...)
	var phase analyze.Phase // JSON of traffic that nobody judges is that of its one phase
	if err := json.Unmarshal([]byte(stdout), &phase); err != nil || code != 0 {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	if len(phase.Targets) != 2 || phase.Targets[0].Name != "GET /products" || phase.Targets[0].Due != 180 || phase.Targets[1].Due != 10 {
		t.Errorf("%+v", phase.Targets)
	}
	if len(phase.Arms) != 2 || phase.Arms[0].Errors+phase.Arms[1].Errors != 0 {
		t.Errorf("%+v", phase.Arms)
	}
	values := map[string]bool{}
	for _, r := range s.asked() {
		if r.Header.Get("Authorization") != "Bearer s3cret-token" || r.Header.Get("X-Api-Key") != "s3cret-key" || r.Header.Get("X-Coalmine-Run") == "" ||
			r.UserAgent() != "coalmine/"+version || r.Header.Get("X-Coalmine-Weight") != "" || !strings.HasPrefix(r.URL.Path, "/prod/") {
			t.Fatalf("%s %v", r.URL, r.Header)
		}
		values[r.URL.Query().Get("nocache")] = true
	}
	if len(values) != len(s.asked()) || s.body[`{"id":1}`] != 10 {
		t.Errorf("%d values in %d requests, bodies %v", len(values), len(s.asked()), s.body)
	}
	log, err := os.Open("hits.gob")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	m := vegeta.Metrics{}
	for read := vegeta.DecoderFor(log); ; {
		var r vegeta.Result
		if read == nil || read(&r) != nil {
			break
		}
		m.Add(&r)
	}
	if m.Requests != 190 || m.StatusCodes["201"] != 10 || !strings.Contains(stderr, "hits: 190 in hits.gob\n") {
		t.Errorf("%d hits, %v\n%s", m.Requests, m.StatusCodes, stderr)
	}
	for _, name := range []string{"run.ndjson", "hits.gob"} {
		if text, err := os.ReadFile(name); err != nil || strings.Contains(string(text), "s3cret") || strings.Contains(string(text), "nocache") {
			t.Errorf("%s: %v, or a secret is in it", name, err)
		}
	}
	if strings.Contains(stdout+stderr, "s3cret") {
		t.Errorf("a secret is shown:\n%s\n%s", stdout, stderr)
	}
}

// A gate on several targets rejects for one that is dead in the canary; its last line stays the last.
func TestGateOnTargets(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		version := []string{"1", "2"}[asked[r.URL.Path]%2]
		mu.Unlock()
		if r.URL.Path == "/rare" && version == "2" {
			w.WriteHeader(502)
			return
		}
		w.Header().Set("X-Lambda-Version", version)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	targets := put(t, filepath.Join(dir, "targets"), "GET /often\nX-Coalmine-Weight: 24\n\nGET /rare\n", 0o600)
	code, stdout, stderr := coalmine(t, t.Context(), nil, "gate", "--url", server.URL, "--targets", targets, "--baseline", "1", "--canary", "2",
		"--percent", "50", "--classify", "header:X-Lambda-Version", "--rate", "500", "--hits", filepath.Join(dir, "hits"), "-q", "--out", filepath.Join(dir, "run"))
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if code != 10 || !strings.Contains(stdout, "GET /rare: Server errors") || !strings.HasPrefix(lines[len(lines)-1], "coalmine: REJECT") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
}

// What is wrong with what is to be sent is told in one line, with exit code 2 and nothing sent.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	dir := t.TempDir()
	file := func(name, text string) string { return put(t, filepath.Join(dir, name), text, 0o700) }
	token := file("token.sh", "#!/bin/sh\necho the token service is down >&2\necho s3cret\nexit 3\n")
	hits := file("hits", "an older log")
	for want, args := range map[string][]string{
		"--body: want --method, too, like POST: GET has no body":           {"--body", "x"},
		"--body: open nowhere: no such file":                               {"--body", "@nowhere", "--method", "POST"},
		`method: "G T": want one like GET`:                                 {"--method", "G T"},
		"--targets: open nowhere":                                          {"--targets", "nowhere"},
		"target 2: bad method: get":                                        {"--targets", file("bad", "GET /a\n\nget /b")},
		"--method and --body: want them in --targets":                      {"--targets", file("a", "GET /a"), "--method", "POST"},
		"--targets-format is about --targets FILE":                         {"--targets-format", "json"},
		`want a JSON object on a line of its own, with "method" and "url"`: {"--targets", file("a", "GET /a"), "--targets-format", "json"},
		"target 1: on http://127.0.0.1:1, and the load goes to http://":    {"--targets", file("c", "GET http://127.0.0.1:1/a")},
		"--header-command: want NAME=COMMAND, as in":                       {"--header-command", "Authorization"},
		"token.sh: exit status 3: the token service is down":               {"--header-command", "Authorization=" + token},
		"printed no value, or more than a line: want one line":             {"--header-command", "Authorization=true"},
		"header a b: want a name, and one line of text":                    {"--header-command", "a b=echo x"},
		"--refresh: want at least 1s, like 45m, or 0 for never, got -1s":   {"--refresh", "-1s"},
		"--refresh: want at least 1s, like 45m, or 0 for never, got 999ms": {"--refresh", "999ms"},
		"--refresh is about --header-command":                              {"--refresh", "1m"},
		"--api-key-file: want one line, the key, in":                       {"--api-key-file", file("keys", "s3cret\ns3cret")},
		"--api-key-env: the environment has no KEY, or it is empty":        {"--api-key-env", "KEY"},
		"--api-key-file and --api-key-env: want one of them":               {"--api-key-env", "KEY", "--api-key-file", hits},
		`--sigv4: "a/b/c": want SERVICE or REGION/SERVICE`:                 {"--sigv4=a/b/c"},
		"sigv4: the target has a header Authorization already":             {"--sigv4", "-H", "authorization: s3cret"},
		`--cache-bust: "cookie:x": want query:NAME or header:NAME`:         {"--cache-bust", "cookie:x"},
		"cache-bust: header Host has a meaning of its own":                 {"--cache-bust", "header:Host"},
		"--hits: open " + dir + "/no/where":                                {"--hits", dir + "/no/where"},
		`--hits-format: want gob, json or csv, got "xml"`:                  {"--hits", hits, "--hits-format", "xml"},
		"--hits-format and --hits-sample are about --hits FILE":            {"--hits-sample", "1/s"},
		"--hits-sample: want requests per time":                            {"--hits", hits, "--hits-sample", "few"},
		"expect: status 99: want 100 to 599":                               {"--expect-status", "99", "--hits", hits},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"attack", "--url", s.url, "--out", "none"}, args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") > 2 || strings.Contains(stderr, "s3cret") {
			t.Errorf("%q: exit %d\n%s%s, want %q", args, code, stdout, stderr, want)
		}
	}
	if n := len(s.asked()); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
	if text, err := os.ReadFile(hits); err != nil || string(text) != "an older log" {
		t.Errorf("the older log is gone: %v", err)
	}
	for want, args := range map[string][]string{
		"target 1 is a path: want --url URL, too":  {"--targets", file("d", "GET /a")},
		"target 1 has a whole URL: want a path":    {"--api", "x", "--path", "/a", "--targets", file("e", "GET http://127.0.0.1/a")},
		"missing target: want --url URL, or --api": {"--sigv4"},
	} {
		if code, _, stderr := coalmine(t, t.Context(), nil, append([]string{"attack"}, args...)...); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit %d\n%s, want %q", args, code, stderr, want)
		}
	}
}

// A hit log that cannot be written is told by every command before it asks for the first answer.
func TestHitsNowhere(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	nowhere := filepath.Join(t.TempDir(), "no", "where")
	url := []string{"--url", s.url, "--classify", "header:X-Lambda-Version"}
	for command, args := range map[string][]string{
		"gate":     append(url, "--baseline", "1", "--canary", "2", "--percent", "50"),
		"verify":   append(url, "--expect", "1"),
		"attack":   url,
		"capacity": append(url, "--objective", "errors <= 1%", "--no-self-check"),
		"run":      {"products"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{command, "--hits", nowhere, "--out", "none"}, args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, "\ncoalmine: --hits: open "+nowhere) && !strings.HasPrefix(stderr, "coalmine: --hits: open "+nowhere) {
			t.Errorf("%s: exit %d\n%s%s", command, code, stdout, stderr)
		}
	}
	if n := len(s.asked()); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// An older hit log stays as it was until load goes out: where nobody answers, or the run file cannot be written, it is kept.
func TestHitsAreKeptUntilTheLoad(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	hits := put(t, filepath.Join(t.TempDir(), "hits"), "an older log", 0o600)
	for _, args := range [][]string{
		{"attack", "--url", "http://127.0.0.1:1/", "--out", "none"},
		{"attack", "--url", s.url, "--out", "/no/where"},
		{"capacity", "--objective", "errors <= 1%", "--no-self-check", "--url", "http://127.0.0.1:1/", "--out", "none"},
		{"capacity", "--objective", "errors <= 1%", "--no-self-check", "--url", s.url, "--out", "/no/where"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append(args, "--hits", hits)...)
		if text, err := os.ReadFile(hits); code == 0 || stdout != "" || err != nil || string(text) != "an older log" {
			t.Errorf("%q: exit %d, the older log is %q, %v\n%s%s", args, code, text, err, stdout, stderr)
		}
	}
}

// A limit that leaves nothing to be counted is told, and not shown as a load of nothing.
func TestNothingIsLeftToCount(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for want, args := range map[string][]string{
		"--max-requests: all 1 were sent before the first that counts":  {"--max-requests", "1"},
		"--max-requests: all 5 were sent before the first that counts,": {"--max-requests", "5", "--warmup", "1s"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"attack", "--url", s.url, "--out", "none"}, args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit %d\n%s%s, want %q", args, code, stdout, stderr, want)
		}
	}
}

// Evidence that was asked for and is missing is a failed run, whatever command it is of: the report is shown all the same.
func TestHitsNotWhole(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	s := newShop(t)
	for command, args := range map[string][]string{
		"attack": {"--rate", "50", "--duration", "200ms"},
		"capacity": append([]string{"--objective", "errors <= 50%", "--max-rate", "500", "--from", "500/s", "--expect-status", "200,404"},
			hastyTrials...),
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{command, "--url", s.url, "--out", "none", "--hits", "/dev/full"}, args...)...)
		if code != exitBroken || stdout == "" || !strings.Contains(stderr, "--hits /dev/full is not whole: ") {
			t.Errorf("%s: exit %d\n%s%s", command, code, stdout, stderr)
		}
	}
}

// A command that fails later leaves its header as it was: a warning, a note in the run file, and the load goes on.
func TestHeaderCommandFailsLater(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	dir := t.TempDir()
	token := put(t, filepath.Join(dir, "token.sh"), "#!/bin/sh\ntest -e "+dir+"/second && exit 3\ntouch "+dir+"/second\necho one\n", 0o700)
	run := filepath.Join(dir, "run")
	const told = "token.sh: exit status 3: the old value is sent on"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() { // until it is told
		for ctx.Err() == nil {
			if text, _ := os.ReadFile(run); strings.Contains(string(text), told) {
				cancel()
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	code, _, stderr := coalmine(t, ctx, nil, "attack", "--url", s.url, "--rate", "20", "--duration", "1m", "--out", run,
		"--header-command", "X-Token="+token, "--refresh", "1s")
	watching.Wait()
	if code != exitInterrupted || strings.Count(stderr, told) != 1 {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	for _, r := range s.asked() {
		if r.Header.Get("X-Token") != "one" {
			t.Fatalf("%v", r.Header)
		}
	}
}

func TestHeaderCommandTimesOut(t *testing.T) {
	t.Parallel()
	c, err := parseHeaderCommand("X=sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.value(t.Context(), 50*time.Millisecond); err == nil || err.Error() != "no value within 50ms" {
		t.Error(err)
	}
}

// What a command has started ends with it when it is given up, and none of it is left when coalmine is done with it.
func TestHeaderCommandsChildren(t *testing.T) {
	t.Parallel()
	held := filepath.Join(t.TempDir(), "held") // a pipe that has an end when nobody holds it any more
	if err := syscall.Mkfifo(held, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, script := range map[string]string{
		"hangs":                   "exec 3>" + held + "; sleep 60 & echo on >&3; sleep 60",
		"leaves a child at large": "exec 3>" + held + "; sleep 60 & echo on >&3; echo value",
	} {
		var giving sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		giving.Go(func() {
			if value, _, err := (headerCommand{"X", []string{"sh", "-c", script}}).value(ctx, time.Minute); err == nil {
				t.Errorf("%s: %q", what, value)
			}
		})
		reader, err := os.Open(held) // waits for the script
		if err != nil {
			t.Fatal(err)
		}
		reader.SetReadDeadline(time.Now().Add(20 * time.Second))
		lines := bufio.NewReader(reader)
		if line, err := lines.ReadString('\n'); line != "on\n" {
			t.Errorf("%s: %q, %v", what, line, err)
		}
		if what == "hangs" {
			cancel()
		}
		if _, err := lines.ReadByte(); err != io.EOF {
			t.Errorf("%s: its child is left: %v", what, err)
		}
		giving.Wait()
		cancel()
		reader.Close()
	}

	once := filepath.Join(t.TempDir(), "once")
	script := "test -e " + once + " || { touch " + once + "; echo value; exit; }; exec 3>" + held + "; exec sleep 60"
	q := requests{commands: []headerCommand{{"X", []string{"sh", "-c", script}}}, refresh: time.Millisecond}
	if err := q.runCommands(t.Context(), new(attack.Live)); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(held)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	q.stopCommands()
	raw, err := reader.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Read(func(fd uintptr) bool {
		if n, err := syscall.Read(int(fd), make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("a refresh goes on when all is done: %d, %v", n, err)
		}
		return true
	})
}

// Targets that name their host need no --url; what is signed is what all hits of a second have in common.
func TestSignedTargets(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	file := put(t, filepath.Join(t.TempDir(), "targets"), fmt.Sprintf("GET %s/a\n\nGET %s/b?x=1\n", s.url, s.url), 0o600)
	code, stdout, stderr := coalmine(t, t.Context(), nil, "attack", "--targets", file, "--sigv4=eu-west-1/execute-api", "--duration", "100ms", "--out", "none")
	if code != 0 || !strings.Contains(stdout, "GET /b ") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	for _, r := range s.asked() {
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date;x-coalmine-run, Signature=") {
			t.Errorf("%v", r.Header)
		}
	}
}

// A scenario says what is sent, the command line what no file must say; each phase of the story is on all targets.
func TestStoryOnTargets(t *testing.T) {
	beside(t)
	if testing.Short() {
		t.Skip("sends load for some seconds")
	}
	text, err := os.ReadFile(quick(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	story := written(t, "story.yaml", strings.Replace(string(text), "load: {rate: 400}",
		"load: {rate: 400, headers: {X-Shop: s1}, targets: [{path: /products, weight: 3}, {path: \"/products?page=2\", name: second page}]}", 1))
	hits, run := filepath.Join(dir, "hits"), filepath.Join(dir, "run")
	code, stdout, stderr := coalmine(t, t.Context(), nil, "run", story, "--sigv4", "--hits", hits, "--hits-format", "csv", "--out", run, "--format", "json")
	var a analyze.Analysis
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("exit %d: %v\n%s", code, err, stderr)
	}
	for _, phase := range a.Phases {
		if len(phase.Targets) != 2 || phase.Targets[0].Name != "GET /products" || phase.Targets[1].Name != "second page" ||
			phase.Targets[1].Hits == 0 || phase.Targets[0].Hits < 2*phase.Targets[1].Hits {
			t.Errorf("%s: %+v", phase.Name, phase.Targets)
		}
	}
	log, err := os.ReadFile(hits)
	if err != nil || !strings.Contains(string(log), "/prod/_user_request_/products,") || strings.Contains(string(log), "page=2") {
		t.Errorf("%v\n%.500s", err, log)
	}
	if file, err := os.ReadFile(run); err != nil || strings.Contains(string(file), "s1") && strings.Contains(string(file), "X-Shop") {
		t.Errorf("%v, or a header is in the run file", err)
	}
}

// A target that breaks some connections is there: one answer in three is enough to begin, and three without one are not.
func TestAttackAsksAgain(t *testing.T) {
	t.Parallel()
	for _, targets := range []bool{false, true} {
		for broken, want := range map[int64]int{0: 0, 1: 0, 2: 0, 3: 1} {
			var connections atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.Config.ConnState = func(c net.Conn, state http.ConnState) {
				if state == http.StateNew && connections.Add(1) <= broken {
					c.Close()
				}
			}
			s.Start()
			t.Cleanup(s.Close)
			args := []string{"attack", "--url", s.URL, "--out", "none", "--warm", "-1", "--max-requests", "8", "--rate", "1000"}
			if targets {
				args = append(args, "--targets", put(t, filepath.Join(t.TempDir(), "targets"), "GET /a\n\nGET /b\n", 0o600))
			}
			code, _, stderr := coalmine(t, t.Context(), nil, args...)
			if said := strings.Contains(stderr, ", asked 3 times\n"); code != want || said != (code != 0) {
				t.Errorf("%d broken, targets %v: exit %d, want %d\n%s", broken, targets, code, want, stderr)
			}
		}
	}
	code, _, stderr := coalmine(t, t.Context(), nil, "attack", "--url", "http://127.0.0.1:1/", "--out", "none", "--max-requests", "1")
	if code != 1 || strings.Contains(stderr, "asked") || !strings.Contains(stderr, "connection refused") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

// A pipe that somebody reads gets the hits; one that nobody reads is told at once, and not waited for.
func TestHitsIntoPipe(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := exec.Command("mkfifo", pipe).Run(); err != nil {
		t.Skip("no mkfifo here: ", err)
	}
	send := func(args ...string) (int, string, string) {
		return coalmine(t, t.Context(), nil, append([]string{"attack", "--url", s.url, "--rate", "100", "--duration", "100ms", "-q"}, args...)...)
	}
	for flag, args := range map[string][]string{"--hits": {"--out", "none", "--hits", pipe}, "run file": {"--out", pipe}} {
		code, stdout, stderr := send(args...)
		if want := "coalmine: " + flag + ": open " + pipe + ": a pipe that nobody reads yet"; code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit %d\n%s%s, want %q", args, code, stdout, stderr, want)
		}
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var read []byte
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewReader(reader); strings.Count(string(read), "\n") < 10; {
			line, err := lines.ReadBytes('\n')
			if read = append(read, line...); err != nil {
				return
			}
		}
	})
	code, _, stderr := send("--out", "none", "--hits", pipe, "--hits-format", "csv")
	reader.SetReadDeadline(time.Now().Add(10 * time.Second)) // all is written by now
	reading.Wait()
	if n := strings.Count(string(read), "\n"); code != 0 || n != 10 {
		t.Errorf("exit %d, %d hits\n%s", code, n, stderr)
	}
}
