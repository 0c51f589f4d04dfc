package emulator

import (
	"maps"
	"sync/atomic"
	"time"
)

// plane is what requests to the APIs read. It holds immutable views that the control plane swaps whole, so that a request
// takes no lock: not while it is routed and not while its function sleeps.
type plane struct {
	stages    atomic.Pointer[map[stageKey]*hosts]
	functions atomic.Pointer[map[string]*functionView]
	domains   atomic.Pointer[map[string]domainView]
	faults    atomic.Pointer[conditions]
	drawn     atomic.Uint64 // requests so far
	begun     time.Duration // elapsed
	logs      logs

	running    gauge // functions, all of them
	unreserved seats // of functions without a reservation

	changes uint64 // stage changes so far; guarded by the control plane's lock
}

type stageKey struct{ api, stage string }

// conditions are the faults in force, with the state that some of them need.
type conditions struct {
	Faults
	throttle  *bucket // nil: no limit
	account   *bucket // of all APIs together
	denied    map[string]bool
	moves     []move // CodeDeploy's
	admission *admission
}

// functionView is a function as requests see it.
type functionView struct {
	arn      string
	handler  Handler // nil: the package, or getProducts where packages are not run
	fleet    *fleet
	versions map[string]*version
	aliases  map[string]aliasConfiguration
	policies map[string]policy

	occupancy   *occupancy
	provisioned map[string]*provisioned // by qualifier
	reserved    int64                   // concurrency beside the provisioned; -1: what the account has
	setAside    int64                   // of the account's, for other things than functions without a reservation
}

var clock = time.Now() // elapsed time is monotonic, and 8 bytes

func elapsed() time.Duration { return time.Since(clock) }

func (p *plane) set(f Faults) {
	f.Versions = maps.Clone(f.Versions)
	next := &conditions{Faults: f, denied: map[string]bool{}, moves: newMoves(f.CodeDeploy, time.Now())}
	if percent := f.Gateway.Percent; percent != nil {
		v := *percent
		next.Gateway.Percent = &v
	}
	for _, alias := range f.Gateway.Deny {
		next.denied[alias] = true
	}
	last := p.faults.Load()
	if rate := f.Gateway.Throttle; rate > 0 {
		if last != nil && last.throttle != nil && last.Gateway.Throttle == rate {
			next.throttle = last.throttle
		} else {
			next.throttle = newBucket(rate)
		}
	}
	rate, burst := f.Gateway.accountLimits()
	if next.account = newBurst(float64(rate), burst); last != nil && last.account.rate == float64(rate) && last.account.burst == burst {
		next.account = last.account
	}
	next.admission = newAdmission(f.Control, last, p.begun)
	if last != nil && last.Seed != f.Seed {
		p.drawn.Store(0)
	}
	p.faults.Store(next)
}

func (p *plane) next(f *conditions) draw { return draw{f.Seed, p.drawn.Add(1)} }

// publish gives a stage's hosts a new release. A stage that is new is there at once: propagation is about changes.
func (p *plane) publish(key stageKey, r *release) {
	if h := p.hosts(key); h != nil {
		f := p.faults.Load()
		p.changes++
		h.change(r, f.Propagation, draw{f.Seed, p.changes})
		return
	}
	p.swapStages(func(all map[stageKey]*hosts) { all[key] = newHosts(r) })
}

// newest is the release that was published last, nil if there is none.
func (p *plane) newest(key stageKey) *release {
	if h := p.hosts(key); h != nil {
		return (*h.releases.Load())[0].release
	}
	return nil
}

func (p *plane) withdraw(key stageKey) {
	p.swapStages(func(all map[stageKey]*hosts) { delete(all, key) })
}

func (p *plane) flush(key stageKey) {
	if h := p.hosts(key); h != nil {
		h.cache.Store(newCache())
	}
}

func (p *plane) hosts(key stageKey) *hosts {
	if all := p.stages.Load(); all != nil {
		return (*all)[key]
	}
	return nil
}

func (p *plane) swapStages(change func(map[stageKey]*hosts)) {
	all := map[stageKey]*hosts{}
	if old := p.stages.Load(); old != nil {
		maps.Copy(all, *old)
	}
	change(all)
	p.stages.Store(&all)
}

func (p *plane) function(name string) *functionView {
	if all := p.functions.Load(); all != nil {
		return (*all)[name]
	}
	return nil
}

// publishFunctions shows the data plane all functions as they are now; unlike stages, they have no propagation to model.
func (c *control) publishFunctions() {
	all := make(map[string]*functionView, len(c.functions))
	living := map[*environments]bool{}
	for name, f := range c.functions {
		v := &functionView{
			arn:      f.arn,
			handler:  c.handlers[name],
			fleet:    c.fleet,
			versions: make(map[string]*version, len(f.versions)),
			aliases:  maps.Clone(f.aliases),
			policies: maps.Clone(f.policies),
		}
		for _, each := range f.versions {
			v.versions[each.Version] = each
			living[each.environments] = true
		}
		all[name] = v
	}
	c.limits(all)
	c.plane.functions.Store(&all)
	if c.fleet != nil {
		c.fleet.keep(living)
	}
}
