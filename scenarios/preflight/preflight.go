package preflight

import (
	"net/http"
	"time"
)

// Plan is what a run intends.
type Plan struct {
	Rate        float64       // requests per second
	Duration    time.Duration // longest the run may take
	Latency     time.Duration // of an answer, as a probe measured it (median); 0: not known
	Connections int           // at most so many requests are under way at once; 0: no such bound
	Header      http.Header   // sent with every request

	Create, Deploy, Promote, Rollback, Repoint bool // which verbs it may use later

	URL    string // given by the user beside --api: a custom domain; "" the invoke URL
	Labels bool   // the user names both arms' values: what tells them apart need not be a Lambda version
}

func (p Plan) acts() bool { return p.Create || p.Deploy || p.Promote || p.Rollback || p.Repoint }

// checks each find one thing, or several; the name goes into what is found.
var checks = []struct {
	name string
	find func(Facts, Plan) []Finding
}{
	{"canary", canary},
	{"percent", percent},
	{"difference", difference},
	{"alias", alias},
	{"versions", versions},
	{"latest", latest},
	{"weights", weights},
	{"permission", permission},
	{"cache", cache},
	{"throttle", throttle},
	{"headroom", headroom},
	{"comparable", comparable},
	{"managed", managed},
	{"credentials", credentials},
	{"codedeploy", moved},
	{"endpoint", endpoint},
	{"auth", auth},
}

// Checks are the names of all checks, in the order of their findings.
func Checks() []string {
	names := make([]string, len(checks))
	for i, c := range checks {
		names[i] = c.name
	}
	return names
}

// Judge finds what there is to say, at least one finding for each of Checks. It can be called again with a plan that
// knows more, as a probe's latency.
func (f Facts) Judge(p Plan) []Finding {
	var all []Finding
	for _, c := range checks {
		for _, finding := range c.find(f, p) {
			finding.Check = c.name
			all = append(all, finding)
		}
	}
	return all
}
