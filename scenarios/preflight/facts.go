package preflight

import (
	"context"
	"sync"
	"time"

	"coalmine/scenarios/stage"
)

// patience is how long all looks together may take: none is worth more of a run's time.
var patience = 5 * time.Second

// atOnce bounds how many requests are under way.
const atOnce = 6

// Facts are what the checks judge.
type Facts struct {
	ref    stage.Ref
	target stage.Target
	place  place
	now    time.Time

	limits      reading[limits]          // of all the account's APIs together
	concurrency reading[concurrency]     // of the account
	reserved    map[string]reading[*int] // by function; nil: none reserved
	usage       reading[usage]           // in the last hour
	session     reading[session]         // the credentials
	lacks       reading[[]statement]     // of what the plan's changes need, by IAM's simulation
	moves       reading[[]move]          // of the aliases, by CodeDeploy
	route       reading[stage.Route]     // of the plan's URL
}

// reading is something asked for, which need not have been answered.
type reading[T any] struct {
	value  T
	read   bool
	why    string // not
	denied bool   // for want of a permission
}

func known[T any](v T) reading[T] { return reading[T]{value: v, read: true} }

func unread[T any](err error) reading[T] {
	return reading[T]{why: stage.Brief(err), denied: stage.IsDenied(err)}
}

// limits are of requests.
type limits struct {
	rate  float64 // per second
	burst int
}

// concurrency is of an account, in environments.
type concurrency struct{ limit, unreserved int }

// usage is the most of the last hour.
type usage struct {
	concurrent map[string]int // environments, by function; "": all of the account
	rate       float64        // requests per second to the API
}

// session is what is known of the credentials.
type session struct {
	source string    // the SDK's name of where they come from
	ends   time.Time // zero: never, as far as is known
}

// move is a deployment of CodeDeploy's that shifts or shifted an alias.
type move struct {
	id, function, alias, status string
	active                      bool
	at                          time.Time
}

// Read asks for what the checks need beyond the target. It takes no longer than five seconds, whatever does not answer.
func Read(ctx context.Context, c *stage.Client, ref stage.Ref, t stage.Target, p Plan) Facts {
	f := Facts{ref: ref, target: t, place: placeOf(c), now: time.Now(), reserved: map[string]reading[*int]{}}
	functions := f.functions() // before anything is written beside it
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s := newServices(c)
	g := &gatherer{ctx: ctx, room: make(chan struct{}, atOnce)}
	if !ref.Weighted() {
		ask(g, &f.limits, s.limits)
	}
	ask(g, &f.concurrency, s.concurrency)
	reserved := make([]reading[*int], len(functions))
	for i, name := range functions {
		ask(g, &reserved[i], func(ctx context.Context) (*int, error) { return s.reserved(ctx, name) })
	}
	ask(g, &f.usage, func(ctx context.Context) (usage, error) { return s.usage(ctx, f.now, functions, t.State.APIName) })
	ask(g, &f.session, s.session)
	ask(g, &f.moves, func(ctx context.Context) ([]move, error) { return s.moves(ctx, f.now, functions) })
	if p.acts() && !f.place.root() {
		ask(g, &f.lacks, func(ctx context.Context) ([]statement, error) {
			return lacking(ctx, s.simulate, f.place, needs(f.place, ref, t, p))
		})
	}
	if p.URL != "" && !ref.Weighted() {
		ask(g, &f.route, func(ctx context.Context) (stage.Route, error) { return c.Route(ctx, p.URL) })
	}
	g.wait.Wait()
	for i, name := range functions {
		f.reserved[name] = reserved[i]
	}
	return f
}

// functions are the names of those behind both sides.
func (f Facts) functions() []string {
	var names []string
	for _, name := range []string{f.target.Function, f.target.CanaryFunction} {
		if name != "" && (len(names) == 0 || names[0] != name) {
			names = append(names, name)
		}
	}
	return names
}

// gatherer asks several things at once.
type gatherer struct {
	ctx  context.Context
	wait sync.WaitGroup
	room chan struct{}
}

func ask[T any](g *gatherer, into *reading[T], question func(context.Context) (T, error)) {
	g.wait.Go(func() {
		g.room <- struct{}{}
		defer func() { <-g.room }()
		v, err := question(g.ctx)
		if err != nil {
			*into = unread[T](err)
			return
		}
		*into = known(v)
	})
}
