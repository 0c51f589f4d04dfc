package emulator

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"time"
)

const tailSize = 4 << 10 // as much as X-Amz-Log-Result carries

// printed keeps the last of what a process prints.
type printed struct {
	in, out *os.File // the pipe: what we read, and what the process writes to

	mu    sync.Mutex
	last  []byte
	total int           // bytes so far
	mark  []byte        // what the reader looks for, nil for nothing
	found chan struct{} // closed when it came, or when nothing more can come
	ended chan struct{} // closed when everything was read
}

func newPrinted() (*printed, error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &printed{in: in, out: out, ended: make(chan struct{})}
	go p.read()
	return p, nil
}

func (p *printed) read() {
	defer close(p.ended)
	defer p.in.Close()
	chunk := make([]byte, 4<<10)
	for {
		n, err := p.in.Read(chunk)
		p.mu.Lock()
		p.take(chunk[:n])
		if err != nil && p.mark != nil {
			p.reached()
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *printed) take(chunk []byte) {
	p.last = append(p.last, chunk...)
	p.total += len(chunk)
	if at := bytes.Index(p.last, p.mark); p.mark != nil && at >= 0 {
		p.last = append(p.last[:at], p.last[at+len(p.mark):]...)
		p.total -= len(p.mark)
		p.reached()
	}
	if over := len(p.last) - 2*tailSize; over > 0 {
		p.last = append(p.last[:0], p.last[len(p.last)-tailSize:]...)
	}
}

func (p *printed) reached() {
	p.mark = nil
	close(p.found)
}

// flush returns when everything was read that had been printed before. A pipe keeps the order, so it waits for a mark of its
// own to come through. One flush at a time.
func (p *printed) flush() {
	mark := []byte("\x00" + newRevision() + "\x00")
	found := make(chan struct{})
	p.mu.Lock()
	p.mark, p.found = mark, found
	p.mu.Unlock()
	if _, err := p.out.Write(mark); err != nil { // the process has ended, and end closed the pipe
		<-p.ended
		return
	}
	select {
	case <-found:
	case <-p.ended:
	}
}

// end is for when nobody is left who could print. What ran away from its process group all the same is not waited for.
func (p *printed) end() {
	p.out.Close()
	p.in.SetReadDeadline(time.Now().Add(time.Second))
	<-p.ended
}

// position is where the output is now, for since.
func (p *printed) position() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// since is what was printed after a position, at most the last 4 KiB of it.
func (p *printed) since(position int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(p.total-position, len(p.last), tailSize)
	return bytes.Clone(p.last[len(p.last)-max(n, 0):])
}

// lines are the last few, in one line, for an error.
func (p *printed) lines() string {
	all := strings.Split(strings.TrimSpace(string(p.since(0))), "\n")
	return strings.TrimSpace(strings.Join(all[max(0, len(all)-5):], " | "))
}
