package main

import (
	"io"
	"strings"
	"sync"
	"time"

	"coalmine/analyze"
	"coalmine/report"
)

// progress shows how a run stands: a view that is kept up to date on a terminal, a line now and then elsewhere. What is
// to be shown is only put down by whoever runs the load, and drawn beside it: a terminal that is held (Ctrl-S), or a pipe
// that nobody reads, delays no request.
type progress[T any] struct {
	tell  func(said []string, stand *T, over bool)
	paced bool // a screen is drawn again every so often at most

	mu    sync.Mutex
	said  []string
	stand *T // nil: as it was
	wake  chan struct{}
	ended chan struct{}
	drawn chan struct{}
}

// redraw is how often a view is drawn again at most.
const redraw = 125 * time.Millisecond

// newProgress begins to show a run; end must be called.
func newProgress(w world, o *output) *progress[analyze.Analysis] {
	screen, lines := o.shown(w)
	if screen == nil {
		return begin(func(said []string, stand *analyze.Analysis, _ bool) { lines.write(said, stand) }, false)
	}
	v := view{screen: screen}
	return begin(v.draw, true)
}

// shown is the screen, or where lines go.
func (o *output) shown(w world) (*screen, *trail) {
	switch {
	case o.quiet:
		return nil, &trail{to: io.Discard, silent: true}
	case o.still:
		return nil, &trail{to: w.stderr, silent: true}
	}
	return newScreen(w), &trail{to: w.stderr}
}

func begin[T any](tell func([]string, *T, bool), paced bool) *progress[T] {
	p := &progress[T]{tell: tell, paced: paced, wake: make(chan struct{}, 1), ended: make(chan struct{}), drawn: make(chan struct{})}
	go p.draw()
	return p
}

// watch is a Recorder's Watch.
func (p *progress[T]) watch(now T) {
	p.mu.Lock()
	p.stand = &now
	p.mu.Unlock()
	p.rouse()
}

// say writes a line that stays. It may be called from any goroutine.
func (p *progress[T]) say(line string) {
	p.mu.Lock()
	p.said = append(p.said, line)
	p.mu.Unlock()
	p.rouse()
}

func (p *progress[T]) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// end shows what is left to be shown, and leaves the cursor on a line of its own.
func (p *progress[T]) end() {
	close(p.ended)
	<-p.drawn
}

func (p *progress[T]) draw() {
	defer close(p.drawn)
	for {
		var over bool
		select {
		case <-p.ended:
			over = true
		case <-p.wake:
		}
		p.mu.Lock()
		said, stand := p.said, p.stand
		p.said, p.stand = nil, nil
		p.mu.Unlock()
		p.tell(said, stand, over)
		if over {
			return
		}
		if p.paced {
			select {
			case <-p.ended:
			case <-time.After(redraw):
			}
		}
	}
}

// trail writes what was said, and a line now and then on how things stand.
type trail struct {
	to          io.Writer
	silent      bool // of how things stand
	phase       string
	began, last time.Time // the phase, a line
}

func (t *trail) write(said []string, stand *analyze.Analysis) {
	for _, line := range said {
		io.WriteString(t.to, line+"\n")
	}
	if stand == nil || t.silent {
		return
	}
	line := report.Progress(*stand)
	if line == "" {
		return
	}
	switch phase, _, _ := strings.Cut(line, " "); {
	case phase != t.phase:
		t.phase, t.began, t.last = phase, time.Now(), time.Now()
	case time.Since(t.last) >= pause(t.last.Sub(t.began)):
		t.last = time.Now()
	default:
		return
	}
	io.WriteString(t.to, line+"\n")
}

// pause is how long a log stays quiet after its last line, that far into a phase: a quarter of an hour is some 60 lines
// instead of 900.
func pause(into time.Duration) time.Duration {
	return min(max(into/10, time.Second), 30*time.Second)
}

// view is what stands on a screen: the phase that goes on, and a last word on each that is over.
type view struct {
	screen  *screen
	moments []*analyze.Analysis // of the phase's last seconds; the first is for rates
	closed  int                 // phases that have had their last word
}

func (v *view) draw(said []string, stand *analyze.Analysis, over bool) {
	var last []string
	if stand != nil {
		if n := len(v.moments); n > 0 && len(v.moments[n-1].Phases) < len(stand.Phases) {
			last = v.close(last)
		}
		if len(stand.Phases) > v.closed {
			v.moments = append(v.moments, stand)
		}
		if n := len(v.moments); n > 16 {
			v.moments = v.moments[n-16:]
		}
	}
	if over || stand != nil && ended(*stand) {
		last = v.close(last)
	}
	var lines []string
	if n := len(v.moments); n > 0 {
		width, height := v.screen.size()
		lines = report.Live(*v.moments[n-1], report.View{Width: width, Height: height, Before: v.moments[0], ASCII: v.screen.ascii, Paint: v.screen.paint})
	}
	v.screen.show(append(last, said...), lines) // a terminal that is gone is nobody's loss
}

// close adds the last word on the phase that was shown.
func (v *view) close(to []string) []string {
	n := len(v.moments)
	if n == 0 {
		return to
	}
	a := v.moments[n-1]
	v.moments, v.closed = nil, len(a.Phases)
	return append(to, report.Progress(*a))
}

// ended reports that the phase is over, whose end was the last that happened.
func ended(a analyze.Analysis) bool {
	n := len(a.Events)
	return n > 0 && a.Events[n-1].Name == analyze.PhaseEnd
}
