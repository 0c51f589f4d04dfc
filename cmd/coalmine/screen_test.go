package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"
	"golang.org/x/term"

	"coalmine/analyze"
	"coalmine/report"
)

// terminal is a coalmine in a terminal of its own.
type terminal struct {
	*exec.Cmd
	master, tty *os.File
	before      *term.State
	read        chan []byte
}

func inTerminal(t *testing.T, columns, rows uint16, env []string, args ...string) *terminal {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skip("no pty:", err)
	}
	t.Cleanup(func() { master.Close(); tty.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Cols: columns, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append([]string{"COALMINE_TEST_MAIN=1", "XDG_STATE_HOME=" + t.TempDir(), "TERM=xterm-256color", "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH")}, env...)
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	e := &terminal{Cmd: c, master: master, tty: tty, before: before, read: make(chan []byte, 10_000)}
	go func() {
		for {
			piece := make([]byte, 4096)
			n, err := master.Read(piece)
			if err != nil {
				return
			}
			e.read <- piece[:n]
		}
	}()
	return e
}

// until reads what the terminal shows until a text is in it.
func (e *terminal) until(t *testing.T, text string) []byte {
	t.Helper()
	var all bytes.Buffer
	late := time.After(30 * time.Second)
	for !strings.Contains(ansi.Strip(all.String()), text) {
		select {
		case piece := <-e.read:
			all.Write(piece)
		case <-late:
			e.Process.Kill()
			t.Fatalf("30 s without %q:\n%q", text, all.String())
		}
	}
	return all.Bytes()
}

// left waits for the end, and holds the terminal to how it was.
func (e *terminal) left(t *testing.T) (code int) {
	t.Helper()
	e.Wait()
	after, err := term.GetState(int(e.tty.Fd()))
	if err != nil || *after != *e.before {
		t.Errorf("the terminal is left as %+v, it was %+v (%v)", after, e.before, err)
	}
	return e.ProcessState.ExitCode()
}

// modes are all sequences but colours, moves and erasures: what would have to be taken back. Synchronized output ends
// in the same write that begins it.
var modes = regexp.MustCompile(`\x1b(\[\?[0-9;]*[hl]|\[[<>=][0-9;]*u|[()78=>cDEHM]|\].*)`)

// However the program ends, the terminal is as it was: nothing is ever changed about it.
func TestTerminal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Version", "a-version-of-a-long-name-in-a-narrow-terminal")
	}))
	t.Cleanup(server.Close) // after the parallel ones
	args := []string{"attack", "--url", server.URL, "--classify", "header:X-Version", "--rate", "50/s", "--duration", "25s", "--out", "none"}
	for name, tc := range map[string]struct {
		env    []string
		end    func(e *terminal)
		code   int
		colour bool
	}{
		"interrupted": {nil, func(e *terminal) { e.master.Write([]byte{3}) }, exitInterrupted, true}, // Ctrl-C, as the terminal takes it
		"terminated":  {[]string{"NO_COLOR=1"}, func(e *terminal) { e.Process.Signal(syscall.SIGTERM) }, exitInterrupted, false},
		"killed":      {nil, func(e *terminal) { e.Process.Kill() }, -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := inTerminal(t, 40, 12, tc.env, args...)
			shown := e.until(t, "late p99")
			if err := pty.Setsize(e.tty, &pty.Winsize{Cols: 30, Rows: 8}); err != nil {
				t.Fatal(err)
			}
			shown = append(shown, e.until(t, "late p99")...)
			tc.end(e)
			if code := e.left(t); code != tc.code {
				t.Errorf("exit %d, want %d", code, tc.code)
			}
			text := strings.NewReplacer(ansi.SetModeSynchronizedOutput, "", ansi.ResetModeSynchronizedOutput, "").Replace(string(shown))
			if found := modes.FindString(text); found != "" {
				t.Errorf("%q changes the terminal:\n%q", found, text)
			}
			if coloured := strings.Contains(text, "m"+"attack"); coloured != tc.colour {
				t.Errorf("colours: %t, want %t:\n%q", coloured, tc.colour, text)
			}
			view := text[strings.Index(text, "attack"):]
			for line := range strings.Lines(ansi.Strip(view)) {
				if n := ansi.StringWidth(strings.TrimRight(line, "\r\n")); n > 39 {
					t.Errorf("%d columns: %q", n, line)
				}
			}
		})
	}
}

// A terminal that takes nothing delays nobody.
func TestHeldTerminal(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	lines := trail{to: write}
	p := begin(func(said []string, stand *analyze.Analysis, _ bool) { lines.write(said, stand) }, false)
	p.say("first")
	for i := range 1000 { // a pipe holds 64 KiB
		p.say(strings.Repeat("x", 1000))
		p.watch(analyze.Analysis{Phases: []analyze.Phase{{Name: "attack", Hits: uint64(i)}}})
	}
	var all []byte
	done := make(chan struct{})
	go func() { all, _ = io.ReadAll(read); close(done) }()
	p.end()
	write.Close()
	<-done
	if n := strings.Count(string(all), "x\n"); n != 1000 || !strings.HasPrefix(string(all), "first\n") {
		t.Errorf("%d lines of 1000 were written", n)
	}
}

// Where there is no terminal, there are lines, and no escape sequences; --no-progress and --quiet take them away.
func TestNoTerminal(t *testing.T) {
	beside(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"version": "\u001b[2J1"}`) }))
	defer server.Close()
	args := []string{"attack", "--url", server.URL, "--classify", "json:/version", "--rate", "50/s", "--duration", "300ms", "--out", "none"}
	for _, tc := range []struct {
		more  string
		lines bool
	}{{"--format=table", true}, {"--no-progress", false}, {"--quiet", false}} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append(args, tc.more)...)
		if code != 0 || strings.Contains(stdout+stderr, "\x1b") {
			t.Errorf("%s: exit %d, %q, %q", tc.more, code, stdout, stderr)
		}
		if lines := strings.Contains(stderr, "\nattack "); lines != tc.lines {
			t.Errorf("%s: progress %t:\n%s", tc.more, lines, stderr)
		}
	}
}

// The last word on a phase is said once, when it is over, before what comes after it.
func TestLastWords(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	v := view{screen: &screen{to: write}}
	one := []analyze.Phase{{Name: "before", Hits: 5}}
	two := append(one, analyze.Phase{Name: "during", Hits: 7})
	over := func(phase string) []analyze.Event { return []analyze.Event{{Name: analyze.PhaseEnd, Phase: phase}} }
	v.draw(nil, &analyze.Analysis{Phases: one}, false)
	v.draw(nil, &analyze.Analysis{Phases: one, Events: over("before")}, false)
	v.draw([]string{"create canary"}, &analyze.Analysis{Phases: one, Events: over("before")}, false)
	v.draw(nil, &analyze.Analysis{Phases: two, Events: over("before")}, false)
	v.draw(nil, nil, true)
	v.draw(nil, nil, true)
	write.Close()
	text, _ := io.ReadAll(read)
	var stays []string
	for line := range strings.Lines(ansi.Strip(string(text))) {
		if line = strings.Trim(line, "\r\n"); strings.Contains(line, " answers") || line == "create canary" {
			stays = append(stays, line)
		}
	}
	want := []string{report.Progress(analyze.Analysis{Phases: one}), "create canary", report.Progress(analyze.Analysis{Phases: two})}
	if strings.Join(stays, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, want %q", stays, want)
	}
}
