// Package accesslog asks an API's access log in CloudWatch Logs who answered requests whose answers did not say.
//
// A canary's requests are logged in the stage's log group and in its twin GROUP/Canary. A request is found by its id,
// wherever that stands in its entry; whether it was a canary's is told by $context.isCanaryRequest, else by
// $context.deploymentId, else by the twin.
package accesslog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios/stage"
)

const (
	// slack is how far the clocks of sender and log may be apart.
	slack = 5 * time.Minute
	// lag is how long an entry may take to appear in both groups. AWS says minutes; until then it proves nothing that one
	// group lacks it.
	lag = 15 * time.Minute
	// mostPages bounds the reading of a group: 2 GB at most.
	mostPages = 2000
	// attempts at a page: CloudWatch Logs takes five a second, and refuses more.
	attempts = 12
)

// Query is what is asked of which log group.
type Query struct {
	Group  string
	Format string // as the stage has it; "": entries are read by the usual names of their fields
	Sought analyze.Sought
	Now    time.Time
	Pages  int // of each group, at most; 0: 2,000, each of 1 MB or 10,000 entries at most
}

// Found is what the log said.
type Found struct {
	Log       analyze.AccessLog
	Entries   int  // that were read, of both groups
	Undecided int  // requests that are in the log, while nothing tells whether they were a canary's
	Cut       bool // there were more entries than are ever read
}

var (
	// ErrNoGroup says that there is no such log group.
	ErrNoGroup = errors.New("there is no such log group")
	// ErrNoCanary says that the log tells of no canary: who is none of it would then be the baseline's, and that of a
	// weighted alias, which leaves no trace in an access log, would be everybody.
	ErrNoCanary = errors.New("no request of that time was a canary's: want the log of the stage that had the canary")
)

// Format is that of a stage's access log, "" where it has none.
func Format(ctx context.Context, c *stage.Client, ref stage.Ref) (string, error) {
	out, err := c.Gateway().GetStage(ctx, &apigateway.GetStageInput{RestApiId: &ref.API, StageName: &ref.Stage})
	if err != nil {
		return "", fmt.Errorf("read the access log's format: %w", stage.Condense(err))
	}
	if out.AccessLogSettings == nil {
		return "", nil
	}
	return aws.ToString(out.AccessLogSettings.Format), nil
}

// Read looks for all requests that are sought, in as many pages as it takes, and ends when it has them.
func Read(ctx context.Context, c *stage.Client, q Query) (Found, error) {
	r := reading{
		logs:   cloudwatchlogs.NewFromConfig(c.AWS(), func(o *cloudwatchlogs.Options) { o.RetryMaxAttempts = attempts }),
		query:  q,
		parser: newParser(q.Format, deploymentsOf(q.Sought)),
		seen:   make(map[attack.RequestID]entry, len(q.Sought.IDs)),
	}
	if len(q.Sought.IDs) == 0 {
		return Found{}, nil
	}
	if err := r.group(ctx, q.Group, false); err != nil {
		return Found{}, err
	}
	twin := false
	if r.open() {
		switch err := r.group(ctx, q.Group+"/Canary", true); {
		case err == nil:
			twin = true
		case !errors.Is(err, ErrNoGroup):
			return Found{}, err
		}
	}
	found := r.found(twin)
	if len(found.Log) > 0 && !r.canary {
		return Found{}, fmt.Errorf("access log %s: %w", q.Group, ErrNoCanary)
	}
	return found, nil
}

// reading is a search under way.
type reading struct {
	logs    *cloudwatchlogs.Client
	query   Query
	parser  parser
	seen    map[attack.RequestID]entry
	decided int // of seen
	entries int
	canary  bool // somebody's request was a canary's
	cut     bool
}

// open reports whether the log may say more.
func (r *reading) open() bool { return r.decided < len(r.query.Sought.IDs) || !r.canary }

func (r *reading) group(ctx context.Context, name string, canary bool) error {
	from, to := r.query.Sought.First.Add(-slack), r.query.Sought.Last.Add(slack)
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(r.logs, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: &name, StartTime: aws.Int64(from.UnixMilli()), EndTime: aws.Int64(to.UnixMilli()),
	})
	for n := 0; pages.HasMorePages() && r.open(); n++ {
		if n == cmp.Or(r.query.Pages, mostPages) {
			r.cut = true
			return nil
		}
		page, err := pages.NextPage(ctx)
		switch {
		case stage.IsNotFound(err):
			return fmt.Errorf("access log %s: %w", name, ErrNoGroup)
		case err != nil:
			return fmt.Errorf("access log %s: %w", name, stage.Condense(err))
		}
		r.entries += len(page.Events)
		for _, event := range page.Events {
			r.add(aws.ToString(event.Message), canary)
		}
	}
	return nil
}

// add takes an entry in, if it is of a request that is sought. What the twin holds is a canary's, whatever it says.
func (r *reading) add(message string, canary bool) {
	r.canary = r.canary || canary || r.parser.entry(message).canary == yes
	id, ok := r.parser.id(message, r.query.Sought.IDs)
	if !ok {
		return
	}
	e, known := r.seen[id]
	if known && e.decided() {
		return
	}
	if !known {
		e = r.parser.entry(message)
	}
	if canary {
		e.canary = yes
	}
	r.seen[id] = e
	if e.decided() {
		r.decided++
	}
}

// found draws up what is known. Who is in the group and, after all that time, not in its twin, was no canary's.
func (r *reading) found(twin bool) Found {
	f := Found{Log: analyze.AccessLog{}, Entries: r.entries, Cut: r.cut}
	complete := twin && !r.cut && r.query.Now.Sub(r.query.Sought.Last) >= lag
	for id, e := range r.seen {
		if !e.decided() && complete {
			e.canary = no
		}
		if !e.decided() {
			f.Undecided++
			continue
		}
		f.Log[id] = analyze.Access{Canary: e.canary == yes, Status: e.status}
	}
	return f
}
