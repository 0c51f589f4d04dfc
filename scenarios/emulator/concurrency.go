package emulator

import (
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// Concurrency is counted as Lambda does it: a function with reserved concurrency has that for itself, the others share what is
// left of the account's. Provisioned concurrency is taken out of either, and what exceeds it goes on to where it was taken from.

// seats are how many requests of one kind are under way.
type seats struct{ taken atomic.Int64 }

// take finds a seat, if there are fewer than limit.
func (s *seats) take(limit int64) bool {
	for {
		n := s.taken.Load()
		if n >= limit {
			return false
		}
		if s.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// occupancy is what runs of one function. It outlives every change to it.
type occupancy struct {
	gauge
	reserved seats
}

// provisioned is the provisioned concurrency of an alias or a version; a change makes a new one, which has to get ready.
type provisioned struct {
	requested int
	ready     time.Duration // elapsed
	modified  time.Time
	shares    map[string]*share // by version: more than one behind a weighted alias
}

type share struct {
	seats
	size int64
}

// overload is Lambda's refusal of an invocation beyond a limit.
type overload struct{ reason string }

func (o *overload) Error() string { return "Rate Exceeded." }

var (
	accountFull  = &overload{"ConcurrentInvocationLimitExceeded"}
	functionFull = &overload{"ReservedFunctionConcurrentInvocationLimitExceeded"}
)

// call runs a version within the limits, or says which of them is reached.
func (p *plane) call(ctx context.Context, x *exchange, f *functionView, v *version, qualifier string, event func() Event) (*output, error) {
	seat, warm, full := p.admit(x.faults, f, v.Version, qualifier)
	if full != nil {
		return nil, full
	}
	x.warm = warm
	minute := x.begun.Unix() / 60
	p.running.enter(minute)
	f.occupancy.enter(minute)
	defer func() {
		f.occupancy.leave()
		p.running.leave()
		seat.taken.Add(-1)
	}()
	return v.run(ctx, x, f, qualifier, event)
}

func (p *plane) admit(faults *conditions, f *functionView, number, qualifier string) (seat *seats, warm bool, full error) {
	if made := f.provisioned[qualifier]; made != nil && elapsed() >= made.ready {
		if s := made.shares[number]; s != nil && s.take(s.size) {
			return &s.seats, true, nil
		}
	}
	if f.reserved >= 0 {
		if f.occupancy.reserved.take(f.reserved) {
			return &f.occupancy.reserved, false, nil
		}
		return nil, false, functionFull
	}
	if p.unreserved.take(int64(faults.Lambda.concurrency()) - f.setAside) {
		return &p.unreserved, false, nil
	}
	return nil, false, accountFull
}

// limits puts into the views what admit needs; it runs whenever functions are published.
func (c *control) limits(all map[string]*functionView) {
	var setAside int64
	for name, f := range c.functions {
		made := int64(0)
		for _, each := range f.provisioned {
			made += int64(each.requested)
		}
		v := all[name]
		v.occupancy, v.provisioned, v.reserved = f.occupancy, maps.Clone(f.provisioned), -1
		if f.reserved == nil {
			setAside += made
			continue
		}
		setAside += int64(*f.reserved)
		v.reserved = int64(*f.reserved) - made
	}
	for _, v := range all {
		v.setAside = setAside
	}
}

// unreserved is what the account has left for functions without a reservation, a leaving one's own not counted.
func (c *control) unreserved(leaving *function) int {
	left := c.plane.faults.Load().Lambda.concurrency()
	for _, f := range c.functions {
		if f != leaving && f.reserved != nil {
			left -= *f.reserved
		}
	}
	return left
}

// leastUnreserved is what Lambda lets nobody reserve: 100, in accounts with small limits 10.
func leastUnreserved(limit int) int {
	if limit < 1000 {
		return 10
	}
	return 100
}

func (c *control) getAccountSettings(*call) (answer, error) {
	size := 0
	for _, f := range c.functions {
		for _, v := range f.versions {
			size += v.CodeSize
		}
	}
	return ok(map[string]any{
		"AccountLimit": map[string]any{
			"TotalCodeSize": 80530636800, "CodeSizeUnzipped": 262144000, "CodeSizeZipped": 52428800,
			"ConcurrentExecutions": c.plane.faults.Load().Lambda.concurrency(), "UnreservedConcurrentExecutions": c.unreserved(nil),
		},
		"AccountUsage": map[string]any{"TotalCodeSize": size, "FunctionCount": len(c.functions)},
	})
}

func (c *control) putFunctionConcurrency(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	var want struct{ ReservedConcurrentExecutions *int }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	n := want.ReservedConcurrentExecutions
	if n == nil || *n < 0 {
		return answer{}, invalid("null", "reservedConcurrentExecutions", "Member must have value greater than or equal to 0")
	}
	least := leastUnreserved(c.plane.faults.Load().Lambda.concurrency())
	if *n > 0 && c.unreserved(f)-*n < least {
		return answer{}, invalidParameter("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", least)
	}
	if made := f.made(nil); *n < made {
		return answer{}, invalidParameter("ReservedConcurrentExecutions  %d should not be lower than function's total provisioned concurrency [%d].", *n, made)
	}
	f.reserved = n
	c.publishFunctions()
	return ok(concurrency{n})
}

type concurrency struct {
	ReservedConcurrentExecutions *int `json:",omitempty"`
}

func (f *function) concurrency() *concurrency {
	if f.reserved == nil {
		return nil
	}
	return &concurrency{f.reserved}
}

func (c *control) getFunctionConcurrency(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	return ok(concurrency{f.reserved})
}

func (c *control) deleteFunctionConcurrency(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	f.reserved = nil
	c.publishFunctions()
	return noContent()
}

// made is a function's provisioned concurrency, all but one.
func (f *function) made(but *provisioned) int {
	n := 0
	for _, each := range f.provisioned {
		if each != but {
			n += each.requested
		}
	}
	return n
}

func (c *control) putProvisionedConcurrency(in *call) (answer, error) {
	f, q, err := c.provisionable(in)
	if err != nil {
		return answer{}, err
	}
	var want struct{ ProvisionedConcurrentExecutions int }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	n := want.ProvisionedConcurrentExecutions
	if n < 1 {
		return answer{}, invalid("0", "provisionedConcurrentExecutions", "Member must have value greater than or equal to 1")
	}
	a, isAlias := f.aliases[q]
	for other := range f.provisioned {
		switch _, otherAlias := f.aliases[other]; {
		case isAlias && !otherAlias && other == a.FunctionVersion:
			return answer{}, lambdaRefusal(http.StatusConflict, "ResourceConflictException", "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")
		case !isAlias && otherAlias && f.aliases[other].FunctionVersion == q:
			return answer{}, lambdaRefusal(http.StatusConflict, "ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias")
		}
	}
	total := n + f.made(f.provisioned[q])
	if f.reserved != nil && total > *f.reserved {
		return answer{}, invalidParameter("Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function")
	}
	if least := leastUnreserved(c.plane.faults.Load().Lambda.concurrency()); f.reserved == nil && c.unreserved(nil)-c.madeUnreserved(f)-total < least {
		return answer{}, invalidParameter("Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", least)
	}
	c.provision(f, q, n)
	c.publishFunctions()
	return answer{status: http.StatusAccepted, body: f.provisioned[q].state()}, nil
}

// madeUnreserved is the provisioned concurrency of all functions without a reservation but one.
func (c *control) madeUnreserved(but *function) int {
	n := 0
	for _, f := range c.functions {
		if f != but && f.reserved == nil {
			n += f.made(nil)
		}
	}
	return n
}

// provision begins to get n environments ready behind a qualifier. A weighted alias has each version's share of them.
func (c *control) provision(f *function, qualifier string, n int) {
	p := &provisioned{requested: n, modified: time.Now(), shares: map[string]*share{}}
	p.ready = elapsed() + c.plane.faults.Load().Lambda.ProvisionTime
	number, left := qualifier, int64(n)
	if a, isAlias := f.aliases[qualifier]; isAlias {
		number = a.FunctionVersion
		for extra, weight := range a.weights() {
			part := int64(math.Round(float64(weight) * float64(n)))
			p.shares[extra] = &share{size: part}
			left -= part
		}
	}
	p.shares[number] = &share{size: left}
	f.provisioned[qualifier] = p
}

// follow gets an alias's provisioned concurrency ready again where the alias was moved to.
func (c *control) follow(f *function, before, after aliasConfiguration) {
	p := f.provisioned[after.Name]
	if p != nil && (before.FunctionVersion != after.FunctionVersion || !maps.Equal(before.weights(), after.weights())) {
		c.provision(f, after.Name, p.requested)
	}
}

type provisionedState struct {
	FunctionArn string `json:",omitempty"`
	Requested   int    `json:"RequestedProvisionedConcurrentExecutions"`
	Available   int    `json:"AvailableProvisionedConcurrentExecutions"`
	Allocated   int    `json:"AllocatedProvisionedConcurrentExecutions"`
	Status      string
	Modified    string `json:"LastModified"`
}

func (p *provisioned) state() provisionedState {
	s := provisionedState{Requested: p.requested, Status: "IN_PROGRESS", Modified: p.modified.UTC().Format("2006-01-02T15:04:05-0700")}
	if elapsed() >= p.ready {
		s.Available, s.Allocated, s.Status = p.requested, p.requested, "READY"
	}
	return s
}

func (c *control) getProvisionedConcurrency(in *call) (answer, error) {
	if in.query.Get("List") == "ALL" {
		return c.listProvisionedConcurrency(in)
	}
	f, q, err := c.provisionable(in)
	if err != nil {
		return answer{}, err
	}
	p := f.provisioned[q]
	if p == nil {
		return answer{}, lambdaRefusal(http.StatusNotFound, "ProvisionedConcurrencyConfigNotFoundException",
			"No Provisioned Concurrency Config found for this function")
	}
	return ok(p.state())
}

func (c *control) listProvisionedConcurrency(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	all := []provisionedState{}
	for _, q := range slices.Sorted(maps.Keys(f.provisioned)) {
		s := f.provisioned[q].state()
		s.FunctionArn = f.arn + ":" + q
		all = append(all, s)
	}
	return listed("ProvisionedConcurrencyConfigs", all, in)
}

func (c *control) deleteProvisionedConcurrency(in *call) (answer, error) {
	f, q, err := c.provisionable(in)
	if err != nil {
		return answer{}, err
	}
	delete(f.provisioned, q)
	c.publishFunctions()
	return noContent()
}

// provisionable reads a qualifier that can have provisioned concurrency.
func (c *control) provisionable(in *call) (*function, string, error) {
	f, err := c.named(in)
	if err != nil {
		return nil, "", err
	}
	q := in.qualifier()
	if q == "" {
		return nil, "", invalid("null", "qualifier", "Member must not be null")
	}
	if q == latest || f.aliases[q].FunctionVersion == latest {
		return nil, "", invalidParameter("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
	}
	return f, q, f.hasQualifier(q)
}
