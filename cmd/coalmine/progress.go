package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"coalmine/analyze"
	"coalmine/report"
)

// progress shows how a run stands: one line that is written over on a terminal, a line now and then elsewhere.
type progress struct {
	mu    sync.Mutex
	to    io.Writer
	live  bool
	width int
	phase string
	began time.Time // the phase
	last  time.Time // a line
	shown int       // characters of the line on the screen
}

func newProgress(w world, quiet bool) *progress {
	if quiet {
		return &progress{to: io.Discard}
	}
	p := &progress{to: w.stderr, width: 80}
	if file, ok := w.stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) && w.env("TERM") != "dumb" {
		p.live = true
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 20 {
			p.width = columns
		}
	}
	return p
}

// watch is a Recorder's Watch.
func (p *progress) watch(a analyze.Analysis) {
	line := report.Progress(a)
	if line == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	phase, _, _ := strings.Cut(line, " ")
	switch {
	case p.live:
		if phase != p.phase {
			p.end() // the last word on the phase before stays
		}
		p.phase = phase
		p.overwrite(line)
	case phase != p.phase:
		p.phase, p.began, p.last = phase, time.Now(), time.Now()
		fmt.Fprintln(p.to, line)
	case time.Since(p.last) >= pause(p.last.Sub(p.began)):
		p.last = time.Now()
		fmt.Fprintln(p.to, line)
	}
}

// pause is how long a log stays quiet after its last line, that far into a phase: a quarter of an hour is some 60 lines
// instead of 900.
func pause(into time.Duration) time.Duration {
	return min(max(into/10, time.Second), 30*time.Second)
}

func (p *progress) overwrite(line string) {
	if runes := []rune(line); len(runes) >= p.width {
		line = string(runes[:p.width-1])
	}
	length := len([]rune(line))
	fmt.Fprintf(p.to, "\r%s%s", line, strings.Repeat(" ", max(p.shown-length, 0)))
	p.shown = length
}

// say writes a line that stays. It may be called from any goroutine.
func (p *progress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown > 0 {
		p.overwrite("")
		fmt.Fprint(p.to, "\r")
		p.shown = 0
	}
	fmt.Fprintln(p.to, line)
}

// end leaves the cursor on a line of its own.
func (p *progress) end() {
	if p.shown > 0 {
		fmt.Fprintln(p.to)
		p.shown = 0
	}
}
