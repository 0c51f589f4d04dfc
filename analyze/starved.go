package analyze

import (
	"time"

	"coalmine/attack"
)

// starved is why a trial says nothing of the target: what was sent kept the objectives, and what was slow had waited for a
// connection, of which the load generator has too few. "" if it is not so: who answers too slowly once asked, or more slowly than
// at lower rates, keeps them busy.
func (j *Trial) starved(e *evidence) string {
	waited := j.all.blocked.Total()
	if waited == 0 || 2*j.all.hits < j.all.sent {
		return ""
	}
	service := j.service()
	if j.usual > 0 && float64(service.Quantile(0.5)) > slower*float64(j.usual) {
		return ""
	}
	for _, a := range j.checks {
		if k, n := a.broke(e.canary, service); float64(k) > a.theta()*float64(n) {
			return ""
		}
		if k, _ := a.broke(e.canary, e.canary.response); a.Errors == 0 && k > 2*waited {
			return ""
		}
	}
	return sentence("the load generator has too few connections: %s requests waited for one, and what was sent kept the objectives (--connections)", Count(waited))
}

const slower = 3. / 2 // times the usual: the target is what slows down

// usualTime is how long the judged arm's answers took at lower rates that held or seemed to, by the median; 0: there are none.
func usualTime(r Rating, rate float64, earlier []TrialReport) (usual time.Duration) {
	for _, t := range earlier {
		if t.Rate >= rate || !t.Held() {
			continue
		}
		for i, a := range t.Arms {
			if a.Name == r.Version || i == 0 && r.Version == "" {
				usual = max(usual, a.P50)
			}
		}
	}
	return usual
}

// crowded reports that most requests waited for a connection.
func (j *Trial) crowded() bool { return j.all.blocked.Total() > j.all.wake.Total() }

// service is how long the judged arm took once it was asked.
func (j *Trial) service() (h attack.Histogram) {
	if j.rating.Version != "" {
		if t := j.all.Arms[j.rating.Version]; t != nil {
			h = t.Service
		}
		return h
	}
	for t := range tallies(j.all.Answers) {
		h.Merge(t.Service)
	}
	return h
}

// fellShort reports that fewer requests were sent than were due, by more than is allowed.
func (j *Trial) fellShort() bool {
	short := j.all.due - min(j.all.sent, j.all.due)
	return Percentage(float64(short)/float64(max(j.all.due, 1))) > j.rating.Validity.Short
}
