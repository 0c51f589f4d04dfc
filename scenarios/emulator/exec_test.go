//go:build unix

package emulator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// program is testdata/function, built and packed once.
var program = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "coalmine-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", file, "./testdata/function")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return out, err
	}
	code, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return pack(entry{"bootstrap", 0o755, string(code)})
})

// bench is the test's program as a function, with one alias, prod, on version 1.
type bench struct {
	*stack
}

func newBench(t testing.TB, f Faults, o Options, change ...func(*lambda.CreateFunctionInput)) *bench {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go toolchain to build the test's function with")
	}
	file, err := program()
	if err != nil {
		t.Fatalf("build the test's function: %v\n%s", err, file)
	}
	o.Exec = true
	b := &bench{startWith(t, f, o)}
	in := &lambda.CreateFunctionInput{
		FunctionName: getProductsName, Role: aws.String(role), Handler: aws.String("bootstrap"), Publish: true,
		Runtime: lambdatypes.RuntimeProvidedal2023, Code: &lambdatypes.FunctionCode{ZipFile: file},
	}
	for _, each := range change {
		each(in)
	}
	_, err = b.lambda.CreateFunction(t.Context(), in)
	b.must(err)
	_, err = b.lambda.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: in.FunctionName, Name: aws.String("prod"), FunctionVersion: aws.String("1")})
	b.must(err)
	return b
}

// did is what came of an Invoke.
type did struct {
	failed string // X-Amz-Function-Error
	kind   string // errorType
	said   string // errorMessage
	body   []string
	pid    int
	calls  int
	log    string
}

func (b *bench) invoke(do string, change ...func(*lambda.InvokeInput)) did {
	b.Helper()
	in := &lambda.InvokeInput{FunctionName: getProductsName, Qualifier: aws.String("prod"), Payload: []byte(`{"do":"` + do + `"}`), LogType: lambdatypes.LogTypeTail}
	for _, each := range change {
		each(in)
	}
	out, err := b.lambda.Invoke(context.Background(), in)
	b.must(err)
	var said struct {
		ErrorType, ErrorMessage, Body string
		Headers                       struct {
			Pid, Calls int
			Left       bool
		}
	}
	if err := json.Unmarshal(out.Payload, &said); err != nil {
		b.Fatalf("%s: %s", do, out.Payload)
	}
	log, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	b.must(err)
	if out.FunctionError == nil && !said.Headers.Left {
		b.Errorf("%s: no time was left: %s", do, out.Payload)
	}
	return did{
		aws.ToString(out.FunctionError), said.ErrorType, said.ErrorMessage, strings.Split(said.Body, "|"),
		said.Headers.Pid, said.Headers.Calls, string(log),
	}
}

// running reports whether a process is there, or is there as a zombie.
func running(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestExec(t *testing.T) {
	b := newBench(t, Faults{}, Options{}, func(in *lambda.CreateFunctionInput) {
		in.Environment = &lambdatypes.Environment{Variables: map[string]string{"TABLE": "products", "AWS_REGION": "mine"}}
	})
	t.Setenv("COALMINE_SECRET", "not for functions")
	one := b.invoke("", func(in *lambda.InvokeInput) {
		in.ClientContext = aws.String(base64.StdEncoding.EncodeToString([]byte(`{"custom":{"said":"hello"}}`)))
	})
	if one.failed != "" || one.body[0] != "1" || one.body[1] != "prod" || one.body[2] != "hello" || one.calls != 1 {
		t.Errorf("%+v", one)
	}
	set := map[string]string{}
	for line := range strings.Lines(one.body[3]) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		set[name] = value
	}
	for name, want := range map[string]string{
		"TABLE": "products", "AWS_REGION": "eu-central-1", "AWS_LAMBDA_FUNCTION_NAME": "getProducts", "AWS_LAMBDA_FUNCTION_VERSION": "1",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "_HANDLER": "bootstrap", "TZ": ":UTC", "COALMINE_SECRET": "", "HOME": "",
	} {
		if set[name] != want {
			t.Errorf("%s=%q, want %q", name, set[name], want)
		}
	}
	if _, err := os.Stat(filepath.Join(set["LAMBDA_TASK_ROOT"], "bootstrap")); err != nil {
		t.Error(err)
	}

	// The environment stays, and takes one request after the other.
	if two := b.invoke("log"); two.pid != one.pid || two.calls != 2 || !strings.Contains(two.log, "line 2\n") {
		t.Errorf("%+v, before %d", two, one.pid)
	}
	if three := b.invoke(""); strings.Contains(three.log, "line 2") {
		t.Errorf("another request's log: %q", three.log)
	}
	// A version has its own.
	if other := b.invoke("", func(in *lambda.InvokeInput) { in.Qualifier = nil }); other.pid == one.pid || other.body[0] != "$LATEST" || other.body[1] != "getProducts" {
		t.Errorf("%+v", other)
	}
	if big := b.invoke("large"); big.kind != "Function.ResponseSizeTooLarge" {
		t.Errorf("%+v", big)
	}

	b.must(b.server.Close())
	if running(one.pid) {
		t.Errorf("process %d outlives its server", one.pid)
	}
	if left, err := os.Stat(set["LAMBDA_TASK_ROOT"]); err == nil {
		t.Errorf("%s is left", left.Name())
	}
}

// Every end of a process is the function's error, and the next request starts another.
func TestExecEnds(t *testing.T) {
	b := newBench(t, Faults{}, Options{}, func(in *lambda.CreateFunctionInput) { in.Timeout = aws.Int32(1) })
	before := b.invoke("")
	for _, test := range []struct{ do, kind, said, log string }{
		{"panic", "string", "as asked", "as asked"},
		{"exit", "Runtime.ExitError", "Runtime exited with error: exit status 3", "leaving\n"},
		{"hang", "Sandbox.Timedout", "Task timed out after 1.00 seconds", ""},
	} {
		got := b.invoke(test.do)
		if got.failed != "Unhandled" || got.kind != test.kind || !strings.Contains(got.said, test.said) || !strings.Contains(got.log, test.log) {
			t.Errorf("%s: %+v", test.do, got)
		}
		after := b.invoke("")
		if after.failed != "" || after.pid == before.pid || after.calls != 1 {
			t.Errorf("after %s: %+v, before it %d", test.do, after, before.pid)
		}
		if test.do == "hang" && running(before.pid) {
			t.Errorf("process %d outlives its timeout", before.pid)
		}
		before = after
	}
}

// BenchmarkExec is the gateway and a real function, two processes of it.
func BenchmarkExec(b *testing.B) {
	s := newBench(b, Faults{}, Options{Processes: 2})
	s.createAPI()
	s.allow("prod")
	s.createStage("prod", map[string]string{"lambdaAlias": "prod"})
	b.SetParallelism((2 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	benchGateway(b, s.stack)
}

func TestExecBehindTheGateway(t *testing.T) {
	b := newBench(t, Faults{}, Options{})
	b.createAPI()
	b.allow("prod")
	b.createStage("prod", map[string]string{"lambdaAlias": "prod"})
	first := b.get("prod", "/products")
	if first.status != 200 || first.header.Get("calls") != "1" || !strings.HasPrefix(first.body, "1|prod|") {
		t.Errorf("%+v", first)
	}
	_, err := b.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{
		FunctionName: getProductsName, Environment: &lambdatypes.Environment{Variables: map[string]string{"REFUSE": "no database"}},
	})
	b.must(err)
	v, err := b.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: getProductsName})
	b.must(err)
	_, err = b.lambda.UpdateAlias(t.Context(), &lambda.UpdateAliasInput{FunctionName: getProductsName, Name: aws.String("prod"), FunctionVersion: v.Version})
	b.must(err)
	if broken := b.get("prod", "/products"); broken.status != 502 || !strings.Contains(broken.body, "Internal server error") {
		t.Errorf("%+v", broken)
	}
	if broken := b.invoke(""); broken.kind != "Runtime.ExitError" || broken.said != "Runtime exited with error: exit status 1; it printed: no database" {
		t.Errorf("%+v", broken)
	}
}

// The faults are asked of the function; a package that does not obey is made to.
func TestExecFaults(t *testing.T) {
	b := newBench(t, Faults{Versions: map[string]Version{"1": {Crashes: 1}}}, Options{}, func(in *lambda.CreateFunctionInput) { in.Timeout = aws.Int32(1) })
	if got := b.invoke(""); got.kind != "Runtime.ExitError" || !strings.Contains(got.said, "signal: killed") {
		t.Errorf("%+v", got)
	}
	b.must(b.server.SetFaults(Faults{Versions: map[string]Version{"1": {Hang: 1}}}))
	if got := b.invoke(""); got.kind != "Sandbox.Timedout" {
		t.Errorf("%+v", got)
	}
	b.must(b.server.SetFaults(Faults{}))
	if got := b.invoke(""); got.failed != "" || got.calls != 1 {
		t.Errorf("%+v", got)
	}
	for _, test := range []struct {
		given, fault string
		marker       Marker
		want         string
	}{
		{"", "", "", ""},
		{`{"custom":{"a":"b"}}`, "", "", `{"custom":{"a":"b"}}`},
		{"", "crash", "", `{"custom":{"coalmine-fault":"crash"}}`},
		{`{"env":{},"custom":{"a":"b"}}`, "error", "none", `{"custom":{"a":"b","coalmine-fault":"error","coalmine-marker":"none"},"env":{}}`},
		{`not json`, "", "body", `{"custom":{"coalmine-marker":"body"}}`},
	} {
		if got := faultContext([]byte(test.given), test.fault, test.marker); string(got) != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// Requests at once have a process each; beyond the limit they wait, and an idle process of another version makes room.
func TestExecProcesses(t *testing.T) {
	b := newBench(t, Faults{Versions: map[string]Version{"1": {Latency: Latency{Median: 100 * time.Millisecond}}}}, Options{Processes: 2})
	b.invoke("", func(in *lambda.InvokeInput) { in.Qualifier = nil }) // $LATEST holds a place
	var mu sync.Mutex
	seen := map[int]bool{}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			got := b.invoke("")
			mu.Lock()
			defer mu.Unlock()
			seen[got.pid] = got.failed == ""
		})
	}
	all.Wait()
	if len(seen) > 2 || len(seen) == 0 || seen[0] {
		t.Errorf("%v", seen)
	}
	f := b.server.control.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running > 2 {
		t.Errorf("%d processes", f.running)
	}
}

// A function that is no more leaves no process and no folder.
func TestExecRetires(t *testing.T) {
	b := newBench(t, Faults{}, Options{})
	root := func(d did) string {
		for line := range strings.Lines(d.body[3]) {
			if dir, found := strings.CutPrefix(strings.TrimSpace(line), "LAMBDA_TASK_ROOT="); found {
				return dir
			}
		}
		return ""
	}
	last := b.invoke("")
	var process *process
	f := b.server.control.fleet
	f.mu.Lock()
	for process = range f.living {
	}
	f.mu.Unlock()
	_, err := b.lambda.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: getProductsName})
	b.must(err)
	<-process.exited
	b.must(b.server.Close())
	if _, err := os.Stat(root(last)); !os.IsNotExist(err) || running(last.pid) {
		t.Errorf("%s: %v", root(last), err)
	}
}

// A process that never asks for work is given up.
func TestInitTimeout(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bootstrap"), []byte("#!/bin/sh\nsleep 60 & echo $!\nsleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := launch(configuration{}, dir, func(start func()) { start() })
	if err != nil {
		t.Fatal(err)
	}
	go p.reap()
	for p.printed.position() == 0 { // it has come as far as it ever will
		p.printed.flush()
	}
	err = p.started(time.Millisecond)
	child, _ := strconv.Atoi(p.printed.lines())
	if err == nil || child == 0 || err.Error() != "Init timed out after 0.00 seconds; it printed: "+strconv.Itoa(child) {
		t.Fatal(err)
	}
	if running(p.cmd.Process.Pid) || !ends(child) {
		t.Errorf("%d or its child %d is left", p.cmd.Process.Pid, child)
	}
}

// A parent that is killed takes its functions with it.
func TestKilledParent(t *testing.T) {
	if os.Getenv("COALMINE_TEST_PARENT") != "" {
		b := newBench(t, Faults{}, Options{})
		os.Stdout.WriteString("pid " + strconv.Itoa(b.invoke("").pid) + " \n")
		select {}
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go toolchain to build the test's function with")
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestKilledParent$")
	parent.Env = append(os.Environ(), "COALMINE_TEST_PARENT=1", "TMPDIR="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	said := make([]byte, 4096)
	n, _ := out.Read(said)
	fields := strings.Fields(string(said[:n]))
	if len(fields) == 2 {
		pid, _ = strconv.Atoi(fields[1])
	}
	if pid == 0 || !running(pid) {
		t.Errorf("%s", said[:n])
	}
	parent.Process.Kill()
	parent.Wait()
	if pid > 0 && !ends(pid) {
		t.Errorf("process %d outlives its parent", pid)
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// ends waits for the kernel, which has killed the process, to be done with it.
func ends(pid int) bool {
	for range 100 {
		if !running(pid) || zombie(pid) {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// zombie is a process that has ended, and whose new parent has not looked yet.
func zombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}
