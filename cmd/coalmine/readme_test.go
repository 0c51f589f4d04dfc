package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// block is a fenced block of a Markdown file, with the comment right above it.
type block struct {
	line          int
	language      string
	text, comment string
}

func blocks(t *testing.T, path string) (all []block) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	comment := ""
	for i, line := range strings.Split(string(data), "\n") {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "```") && open == nil:
			open = &block{line: i + 1, language: strings.TrimPrefix(trimmed, "```"), comment: comment}
		case strings.HasPrefix(trimmed, "```"):
			all = append(all, *open)
			open, comment = nil, ""
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(trimmed, "<!--"):
			comment = trimmed
		case trimmed != "":
			comment = ""
		}
	}
	return all
}

var (
	elsewhere = regexp.MustCompile(`^<!-- run by (Test\w+) in (\S+) -->$`)
	notRun    = regexp.MustCompile(`^<!-- not run: .{10,} -->$`)
)

// Every command block of the README is run: here, in a directory with a run file, or by the test that the comment
// above it names. Where that cannot be, the comment says why. The flags of all of them exist.
func TestREADME(t *testing.T) {
	run := runner(t)
	ran := 0
	for _, b := range blocks(t, "../../README.md") {
		if b.language == "sh" {
			parsed(t, fmt.Sprintf("README.md:%d", b.line), b.text)
		}
		switch named := elsewhere.FindStringSubmatch(b.comment); {
		case b.language != "sh" || notRun.MatchString(b.comment):
		case named != nil:
			if !declared(t, named[2], named[1]) {
				t.Errorf("README.md:%d: there is no %s in %s", b.line, named[1], named[2])
			}
		case b.comment != "":
			t.Errorf("README.md:%d: %s: want <!-- run by TestName in DIR -->, <!-- not run: REASON -->, or none", b.line, b.comment)
		default:
			ran++
			if out, err := run(b.text); err != nil {
				t.Errorf("README.md:%d: %v\n%s\n%s", b.line, err, b.text, out)
			}
		}
	}
	if ran == 0 {
		t.Error("no block was run")
	}
}

func declared(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, []byte("func "+name+"(t *testing.T)")) {
			return true
		}
	}
	return false
}

// runner runs scripts one after the other in one directory, in which coalmine is this program and run.ndjson a run.
func runner(t *testing.T) func(script string) (string, error) {
	t.Helper()
	dir, run := newcomer(t)
	file, _, _ := recorded(t)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "run.ndjson"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(script string) (string, error) { return run("set -e\n"+script, 20*time.Second) }
}

// newcomer is who has nothing but coalmine and an empty directory.
func newcomer(t *testing.T) (dir string, run func(script string, limit time.Duration) (string, error)) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, dir, state := t.TempDir(), t.TempDir(), t.TempDir()
	wrapper := fmt.Sprintf("#!/bin/sh\nCOALMINE_TEST_MAIN=1 exec '%s' \"$@\"\n", self)
	if err := os.WriteFile(filepath.Join(bin, "coalmine"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, func(script string, limit time.Duration) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		c := exec.CommandContext(ctx, "bash", "-uo", "pipefail", "-c", script)
		c.Dir = dir
		c.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + state, "XDG_STATE_HOME=" + state}
		c.WaitDelay = time.Second
		out, err := c.CombinedOutput()
		return string(out), err
	}
}

var wholeWalk = flag.Bool("walk", false, "run the walk of the README")

// The walk through the README is taken as a newcomer would, in an empty directory, block by block in one shell, and
// prints what the README shows: each line of it that has no number, and the last lines with any numbers.
func TestWalkInREADME(t *testing.T) {
	if !*wholeWalk {
		t.Skip("takes 25 s: .ci/run has it with -walk")
	}
	address := freeAddress(t)
	script, shown := "", []string{}
	follows := false // a block of output follows the commands that print it
	for _, b := range blocks(t, "../../README.md") {
		if b.comment == "<!-- run by TestWalkInREADME in cmd/coalmine -->" {
			script += b.text
			if strings.Contains(b.text, " emulator ") {
				script += "echo $! > emulator.pid; until grep -q '^listening on' emulator.log; do kill -0 $! || exit 1; sleep 0.05; done\n"
			}
			follows = true
			continue
		}
		if follows && b.language == "" {
			shown = append(shown, strings.Split(strings.TrimSpace(b.text), "\n")...)
		}
		follows = false
	}
	if script == "" || len(shown) < 10 {
		t.Fatalf("%d lines of output after\n%s", len(shown), script)
	}
	dir, run := newcomer(t)
	out, err := run(strings.ReplaceAll(script, "127.0.0.1:4566", address), 3*time.Minute)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
		endEmulator(t, filepath.Join(dir, "emulator.pid"))
	}
	printed := strings.Join(strings.Fields(out), " ")
	for _, line := range shown {
		line = strings.Join(strings.Fields(strings.ReplaceAll(line, "127.0.0.1:4566", address)), " ")
		switch {
		case line == "...", strings.ContainsAny(line, "0123456789") && !strings.HasPrefix(line, "coalmine: ") && !strings.HasPrefix(line, "exit code "):
		case !regexp.MustCompile(anyNumbers(line)).MatchString(printed):
			t.Errorf("the README shows\n%s\nthe commands print\n%s", line, out)
		}
	}
}

// anyNumbers matches a line of a report with whatever numbers, but for those of versions and exit codes.
func anyNumbers(line string) string {
	if verdict, _, ok := strings.Cut(line, " over v1"); ok && strings.HasPrefix(line, "coalmine: ") {
		_, action, _ := strings.Cut(line, "), ")
		return regexp.QuoteMeta(verdict+" over v1") + ".*" + regexp.QuoteMeta(action)
	}
	return regexp.QuoteMeta(line)
}

// endEmulator ends the one that a walk which broke off has left.
func endEmulator(t *testing.T, path string) {
	t.Helper()
	data, _ := os.ReadFile(path)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		if emulator, err := os.FindProcess(pid); err == nil {
			_ = emulator.Kill() // it may have ended
		}
	}
}

// freeAddress is not on 127.0.0.1 where it need not be: no connection of anybody's begins there, which might take the port
// before it is listened on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.77.0.1:0")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// parsed holds the calls of coalmine in a script to commands and flags that exist, with values that they take.
func parsed(t *testing.T, where, script string) {
	t.Helper()
	script = strings.ReplaceAll(script, "\\\n", " ")
	script = strings.ReplaceAll(script, "go run ./cmd/coalmine", "coalmine")
	for line := range strings.Lines(script) {
		for _, call := range calls(line) {
			if err := flagsOf(call); err != nil {
				t.Errorf("%s: coalmine %s: %v", where, strings.Join(call, " "), err)
			}
		}
	}
}

// calls are the words after each coalmine that stands where a command does.
func calls(line string) (all [][]string) {
	var call []string
	command, into := true, false // the next word is one, is a file
	end := func() {
		if call != nil {
			all, call = append(all, call), nil
		}
		command = true
	}
	for _, word := range lexed(line) {
		switch {
		case word == "#":
			end()
			return all
		case strings.Trim(word, ";|&()") == "" && word != "":
			end()
		case redirection.MatchString(word): // with its file, which is a word of its own
			into = true
		case into:
			into = false
		case command && (word == "coalmine" || strings.HasSuffix(word, "/coalmine")):
			call, command = []string{}, false
		case command && (strings.Contains(word, "=") || word == "if" || word == "!" || word == "then" || word == "exec"): // what may stand before a command
		case call != nil:
			call = append(call, word)
		default:
			command = false
		}
	}
	end()
	return all
}

var redirection = regexp.MustCompile(`^[0-9]*[<>]+$`)

var shellWord = regexp.MustCompile(`#.*|[0-9]*[<>]+|"(?:[^"\\]|\\.)*"|'[^']*'|[;|&()]+|[^\s"';|&()<>]+`)

// lexed are the words of a line, as a shell would have them where nothing is quoted within a word.
func lexed(line string) (all []string) {
	for _, word := range shellWord.FindAllString(line, -1) {
		switch {
		case word[0] == '#':
			word = "#"
		case word[0] == '"' || word[0] == '\'':
			word = word[1 : len(word)-1]
		}
		all = append(all, word)
	}
	return all
}

func flagsOf(call []string) error {
	root := world{env: func(string) string { return "" }}.root()
	c, rest, err := root.Find(call)
	if err != nil {
		return err
	}
	if c == root {
		return fmt.Errorf("is no command")
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return c.ValidateArgs(c.Flags().Args())
}

func TestCalls(t *testing.T) {
	for script, want := range map[string]string{
		"coalmine gate --rate 5 # coalmine nope": "", "X=1 coalmine gate --rate 5; coalmine verify --expect 2 || exit 1": "", "echo coalmine nope": "",
		"coalmine nope": "no command", "coalmine": "no command", "coalmine verify nope": "unknown command", "coalmine gate --nope": "unknown flag", "if ! coalmine gate --max-duration long; then": "invalid argument", "coalmine verify > out 2>log; x": "", "coalmine verify > out nope": "unknown command",
		"coalmine canary nope": "unknown command", "true && coalmine verify --nope": "unknown flag",
	} {
		var err error
		for _, call := range calls(script) {
			if err == nil {
				err = flagsOf(call)
			}
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
}

// The examples for pipelines are YAML, and call what exists: as lines of a script, or as a container's arguments.
func TestREADMEPipelines(t *testing.T) {
	calls := 0
	for _, b := range blocks(t, "../../README.md") {
		if b.language != "yaml" {
			continue
		}
		var document any
		if err := yaml.Unmarshal([]byte(b.text), &document); err != nil {
			t.Errorf("README.md:%d: %v", b.line, err)
		}
		walk(document, func(value any) {
			where := fmt.Sprintf("README.md:%d", b.line)
			switch v := value.(type) {
			case string:
				if n := strings.Count(v, "coalmine "); n > 0 {
					calls += n
					parsed(t, where, v)
				}
			case map[string]any:
				if image, ok := v["image"].(string); !ok || !strings.Contains(image, "coalmine") {
					return
				}
				var args []string
				list, _ := v["args"].([]any)
				for _, arg := range list {
					args = append(args, fmt.Sprint(arg))
				}
				calls++
				if err := flagsOf(args); err != nil {
					t.Errorf("%s: %v: %v", where, args, err)
				}
			}
		})
	}
	if calls < 3 {
		t.Errorf("%d calls of coalmine in all examples", calls)
	}
}

func walk(value any, see func(any)) {
	see(value)
	switch v := value.(type) {
	case map[string]any:
		for _, child := range v {
			walk(child, see)
		}
	case []any:
		for _, child := range v {
			walk(child, see)
		}
	}
}

// The action's script runs a gate whose flags exist, whatever is in the inputs, and hands on its exit code.
func TestAction(t *testing.T) {
	data, err := os.ReadFile("../../.github/actions/gate/action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Inputs map[string]struct{ Description string }
		Runs   struct {
			Using string
			Steps []struct {
				ID, Uses, Shell, Run string
				Env                  map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(data, &action); err != nil {
		t.Fatal(err)
	}
	script, env := "", map[string]string{}
	for _, step := range action.Runs.Steps {
		if strings.Contains(step.Run, "${{") {
			t.Errorf("%q: an expression within a script is a way in", step.Run)
		}
		if step.Uses == "" && step.Shell != "bash" {
			t.Errorf("%q: a step of a composite action wants a shell", step.Run)
		}
		if step.ID == "gate" {
			script, env = step.Run, step.Env
		}
	}
	inputs := map[string]string{"api": "a b$(touch owned)", "stage": "prod", "path": "/x?y=1&z=2", "args": "--classify\nheader:X-Lambda-Version\n--rate\n100/s", "out-dir": "out put"}
	for name := range action.Inputs {
		if _, ok := inputs[name]; !ok {
			t.Errorf("input %s is not tried", name)
		}
	}
	dir := t.TempDir()
	stub := "#!/bin/sh\nprintf '%s\\n' \"$@\" > args\necho report\necho progress >&2\necho 'coalmine: REJECT v2 over v1' >&2\nexit 10\n"
	if err := os.WriteFile(filepath.Join(dir, "coalmine"), []byte(stub), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script) // as GitHub calls it
	c.Dir = dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNNER_TEMP=" + dir, "GITHUB_OUTPUT=" + filepath.Join(dir, "output")}
	for key, value := range env {
		name := regexp.MustCompile(`inputs\.([a-z-]+)`).FindStringSubmatch(value)
		if name == nil {
			t.Fatalf("%s: %s is no input", key, value)
		}
		c.Env = append(c.Env, key+"="+inputs[name[1]])
	}
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	err = c.Run()
	if c.ProcessState.ExitCode() != 10 || stdout.String() != "report\n" || !strings.HasPrefix(stderr.String(), "progress\n") {
		t.Fatalf("%v\n%s\n%s", err, &stdout, &stderr)
	}
	args, err := os.ReadFile(filepath.Join(dir, "args"))
	if err != nil {
		t.Fatal(err)
	}
	call := strings.Split(strings.TrimSuffix(string(args), "\n"), "\n")
	if err := flagsOf(call); err != nil || call[0] != "gate" || call[2] != inputs["api"] || call[6] != inputs["path"] {
		t.Errorf("%q: %v", call, err)
	}
	if output, _ := os.ReadFile(filepath.Join(dir, "output")); string(output) != "exit-code=10\nverdict=coalmine: REJECT v2 over v1\n" {
		t.Errorf("outputs:\n%s", output)
	}
	if _, err := os.Stat(filepath.Join(dir, "out put")); err != nil {
		t.Error(err)
	}
}

// The image is built by the Go that go.mod asks for.
func TestDockerfile(t *testing.T) {
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(module)
	if version == nil || !bytes.Contains(file, append([]byte("FROM golang:"), append(version[1], ' ')...)) {
		t.Errorf("go.mod asks for Go %s, the Dockerfile for another", version)
	}
	for _, want := range []string{"CGO_ENABLED=0 go build ", "-X main.version=", "\nUSER 65532:65532\n"} {
		if !bytes.Contains(file, []byte(want)) {
			t.Errorf("no %q", want)
		}
	}
}
