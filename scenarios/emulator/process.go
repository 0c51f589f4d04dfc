package emulator

import (
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// process is one environment that runs a package: one program, with a Runtime API of its own, and one task at a time.
type process struct {
	cmd     *exec.Cmd
	api     *runtimeAPI
	server  *http.Server
	printed *printed
	exited  chan struct{} // closed when it has been reaped
	status  string        // how it ended, "exit status 2"; to be read when exited is closed

	mu   sync.Mutex
	gone bool // its process id may be somebody else's
}

// launch starts the package that was unpacked in dir. start runs what it is given, on a thread that lives as long as the process.
func launch(conf configuration, dir string, start func(func())) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	out, err := newPrinted()
	if err != nil {
		l.Close()
		return nil, err
	}
	p := &process{cmd: exec.Command(filepath.Join(dir, bootstrap)), api: newRuntimeAPI(), printed: out, exited: make(chan struct{})}
	p.server = &http.Server{Handler: p.api, ErrorLog: log.New(io.Discard, "", 0)}
	p.cmd.Dir, p.cmd.Env = dir, surroundings(conf, dir, l.Addr().String())
	p.cmd.Stdout, p.cmd.Stderr = out.out, out.out
	p.cmd.SysProcAttr = bound()
	start(func() { err = p.cmd.Start() })
	if err != nil {
		l.Close()
		out.end()
		return nil, err
	}
	go p.server.Serve(l)
	return p, nil
}

// surroundings are the variables that Lambda sets, after the function's own, and nothing of ours.
func surroundings(conf configuration, dir, api string) []string {
	var all []string
	if conf.Environment != nil {
		for _, name := range slices.Sorted(maps.Keys(conf.Environment.Variables)) {
			all = append(all, name+"="+conf.Environment.Variables[name])
		}
	}
	region := defaultRegion
	if parts := strings.Split(conf.FunctionArn, ":"); len(parts) > 3 {
		region = parts[3]
	}
	return append(all,
		"AWS_LAMBDA_RUNTIME_API="+api,
		"AWS_LAMBDA_FUNCTION_NAME="+conf.FunctionName,
		"AWS_LAMBDA_FUNCTION_VERSION="+conf.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(conf.MemorySize),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+conf.FunctionName,
		"AWS_LAMBDA_LOG_STREAM_NAME=emulator",
		"AWS_REGION="+region,
		"AWS_DEFAULT_REGION="+region,
		"LAMBDA_TASK_ROOT="+dir,
		"_HANDLER="+conf.Handler,
		"LANG=en_US.UTF-8",
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"TZ=:UTC",
	)
}

// reap waits for the program's end and clears up after it, its children included.
func (p *process) reap() {
	await(p.cmd)
	p.mu.Lock()
	killGroup(p.cmd.Process.Pid)
	p.gone = true
	p.mu.Unlock()
	p.cmd.Wait()
	p.status = p.cmd.ProcessState.String()
	p.server.Close()
	p.printed.end()
	close(p.exited)
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		killGroup(p.cmd.Process.Pid)
	}
}

// started waits until the program asks for its first task.
func (p *process) started(within time.Duration) error {
	late := time.NewTimer(within)
	defer late.Stop()
	var why functionError
	select {
	case <-p.api.ready:
		return nil
	case why = <-p.api.broken:
		p.kill()
		<-p.exited
		return &why
	case <-late.C:
		p.kill()
		<-p.exited
		why = functionError{Type: "Sandbox.Timedout", Message: fmt.Sprintf("Init timed out after %.2f seconds", within.Seconds())}
	case <-p.exited:
		select { // what it said before it ended says more than how it ended
		case why = <-p.api.broken:
			return &why
		default:
		}
		why = functionError{Type: "Runtime.ExitError", Message: "Runtime exited with error: " + p.status}
	}
	if last := p.printed.lines(); last != "" {
		why.Message += "; it printed: " + last
	}
	return &why
}

// perform hands over a task and waits for what comes of it, until the task's deadline: then the program is killed. taken is
// false when the program ended before it asked for the task: another may have it.
func (p *process) perform(t *task) (out result, taken bool) {
	late := time.NewTimer(time.Until(t.deadline))
	defer late.Stop()
	select {
	case p.api.tasks <- t:
	case <-p.exited:
		return result{}, false
	case <-late.C:
		return p.overdue(t), true
	}
	select {
	case out = <-t.done:
	case <-late.C:
		out = p.overdue(t)
	case <-p.exited:
		select {
		case out = <-t.done:
		default:
			out = result{err: t.failed("Runtime.ExitError", "Runtime exited with error: %s", p.status)}
		}
	}
	return out, true
}

func (p *process) overdue(t *task) result {
	p.kill()
	<-p.exited
	return result{err: t.failed("Sandbox.Timedout", "Task timed out after %.2f seconds", t.limit.Seconds())}
}

// alive is false once the program has ended.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}
