package emulator

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	initLimit        = 10 * time.Second // Lambda's own
	defaultProcesses = 128
)

// fleet is all processes of one server.
type fleet struct {
	ctx    context.Context // of what nobody waits for; ends with Close
	cancel context.CancelFunc
	dir    string      // where packages are unpacked
	most   int         // processes at once
	starts chan func() // runs on one thread until close
	// Processes of one version that may be starting. Each start costs a core for some 10 ms: more of them starve those that
	// serve, more requests wait, and more would be started.
	atOnce int
	all    sync.WaitGroup // whatever has to end before close may return

	mu      sync.Mutex
	closed  bool
	running int // processes that hold a place: starting, running, or not yet reaped
	living  map[*process]bool
	pools   map[*environments]*pool
	made    int // folders
}

// pool is the processes of one version.
type pool struct {
	conf     configuration
	unpacked sync.Once
	dir      string
	trouble  error // from unpacking

	// Guarded by the fleet's lock.
	idle     []*process // the last one used at the end
	waiting  []chan grant
	starting int
	live     int  // processes with a place
	retired  bool // the version is gone: what comes back is not kept
}

// grant is what a request waits for.
type grant struct {
	process *process
	cold    bool // it was started for a request, and this is its first
	err     error
}

func newFleet(most int) (*fleet, error) {
	dir, err := os.MkdirTemp("", "coalmine-functions-")
	if err != nil {
		return nil, err
	}
	f := &fleet{
		dir: dir, most: most, atOnce: max(1, runtime.NumCPU()/2), starts: make(chan func()),
		living: map[*process]bool{}, pools: map[*environments]*pool{},
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	go func() {
		// The kernel ties a process's death signal to the thread that started it, so that thread must outlive them all.
		runtime.LockOSThread()
		for start := range f.starts {
			start()
		}
	}()
	return f, nil
}

// onThread runs something on the fleet's thread.
func (f *fleet) onThread(do func()) {
	done := make(chan struct{})
	f.starts <- func() { defer close(done); do() }
	<-done
}

// close kills what is there and returns when none of it is left.
func (f *fleet) close() {
	f.cancel()
	f.mu.Lock()
	f.closed = true
	for p := range f.living {
		p.kill()
	}
	f.mu.Unlock()
	f.all.Wait()
	close(f.starts)
	os.RemoveAll(f.dir)
}

// keep retires the versions that are no more.
func (f *fleet) keep(versions map[*environments]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, p := range f.pools {
		if versions[key] {
			continue
		}
		p.retired = true
		for _, idle := range p.idle {
			idle.kill()
		}
		p.idle = nil
		f.forget(key, p)
	}
}

// forget drops a retired version once its last process is gone.
func (f *fleet) forget(key *environments, p *pool) {
	if p.retired && p.live == 0 && len(p.waiting) == 0 {
		delete(f.pools, key)
		if p.dir != "" {
			os.RemoveAll(p.dir)
		}
	}
}

// take finds an idle process of a version. If there is none, one is started; the request gets whichever is free first.
func (f *fleet) take(ctx context.Context, v *version) (*process, bool, error) {
	f.mu.Lock()
	p := f.pools[v.environments]
	if p == nil {
		p = &pool{conf: v.configuration}
		f.pools[v.environments] = p
	}
	for n := len(p.idle); n > 0; n = len(p.idle) {
		last := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if last.alive() {
			f.mu.Unlock()
			return last, false, nil
		}
	}
	mine := make(chan grant, 1)
	p.waiting = append(p.waiting, mine)
	f.startMissing(v.environments, p)
	f.mu.Unlock()
	select {
	case g := <-mine:
		return g.process, g.cold, g.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	p.waiting = slices.DeleteFunc(p.waiting, func(each chan grant) bool { return each == mine })
	f.mu.Unlock()
	select {
	case g := <-mine: // in the meantime
		if g.process != nil {
			f.put(v, g.process)
		}
	default:
	}
	return nil, false, ctx.Err()
}

// startMissing starts as many processes as requests are waiting for, within the limits. At the limit an idle process of
// another version makes room; when all are at work, requests wait for one to come back.
func (f *fleet) startMissing(key *environments, p *pool) {
	for p.starting < min(len(p.waiting), f.atOnce) && !f.closed {
		if f.running >= f.most {
			f.makeRoom(p)
			return
		}
		f.running++
		p.live++
		p.starting++
		f.all.Go(func() { f.start(key, p) })
	}
}

// makeRoom kills the idle process of another version; its place is taken when it has been reaped.
func (f *fleet) makeRoom(but *pool) {
	for _, p := range f.pools {
		if p != but && len(p.idle) > 0 {
			p.idle[0].kill()
			p.idle = p.idle[1:]
			return
		}
	}
}

// start makes a process and gives it, or why there is none, to a request.
func (f *fleet) start(key *environments, p *pool) {
	made, err := f.launch(key, p)
	f.mu.Lock()
	defer f.mu.Unlock()
	p.starting--
	if err != nil {
		p.give(grant{err: err})
		if made == nil {
			f.leave(key, p)
		}
		f.startMissing(key, p)
		return
	}
	if !p.give(grant{made, true, nil}) {
		f.rest(p, made)
	}
}

func (f *fleet) launch(key *environments, p *pool) (*process, error) {
	p.unpacked.Do(func() {
		f.mu.Lock()
		f.made++
		p.dir = filepath.Join(f.dir, p.conf.FunctionName+"-"+strconv.Itoa(f.made))
		f.mu.Unlock()
		if p.trouble = os.Mkdir(p.dir, 0o700); p.trouble == nil {
			p.trouble = unpack(p.conf.file, p.dir)
		}
	})
	if p.trouble != nil {
		return nil, &functionError{Type: "Runtime.InvalidEntrypoint", Message: p.trouble.Error()}
	}
	made, err := launch(p.conf, p.dir, f.onThread)
	if err != nil {
		return nil, &functionError{Type: "Runtime.InvalidEntrypoint", Message: fmt.Sprintf("Couldn't find valid bootstrap(s): %v", err)}
	}
	f.mu.Lock()
	f.living[made] = true
	if f.closed {
		made.kill()
	}
	f.mu.Unlock()
	f.all.Go(func() {
		made.reap()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.living, made)
		p.idle = slices.DeleteFunc(p.idle, func(each *process) bool { return each == made })
		f.leave(key, p)
	})
	return made, made.started(initLimit)
}

// leave gives a place back to whoever waits for one.
func (f *fleet) leave(key *environments, p *pool) {
	f.running--
	p.live--
	f.forget(key, p)
	for key, p := range f.pools {
		f.startMissing(key, p)
	}
}

// give hands something to the request that has waited longest.
func (p *pool) give(g grant) bool {
	if len(p.waiting) == 0 {
		return false
	}
	p.waiting[0] <- g
	p.waiting = p.waiting[1:]
	return true
}

// rest keeps a process for the next request, unless its place is needed.
func (f *fleet) rest(p *pool, idle *process) {
	wanted := false
	if f.running >= f.most {
		for _, other := range f.pools {
			wanted = wanted || len(other.waiting) > other.starting
		}
	}
	if p.retired || wanted {
		idle.kill()
		return
	}
	p.idle = append(p.idle, idle)
}

// put brings a process back.
func (f *fleet) put(v *version, back *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !back.alive() {
		return
	}
	if p := f.pools[v.environments]; !p.give(grant{process: back}) {
		f.rest(p, back)
	}
}
