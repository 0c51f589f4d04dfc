package attack

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

const (
	hitsWaiting = 1 << 14 // on their way to the log's goroutine; what comes while it is full is dropped
	hitsHeld    = 1 << 17 // there, until nothing earlier can come: 10,000/s for 13 s, some 13 MB
)

// noVersion is the attack name of hits that name no version.
const noVersion = "unattributed"

// HitLog writes hits one by one in an encoding of vegeta's, for vegeta's report and plot. A hit's timestamp is when it was
// due, its latency the response time from then, its attack name the version that answered. No header, query or body is in it.
//
// vegeta plot wants the hits of each attack name numbered from 0 in the order of their timestamps. So hits are held until
// the client's timeout has passed, and one that comes later still gets the timestamp of the last one written; its latency stays
// what it was. The writing is done by one goroutine, and never waited for: a hit that finds the way to it full is dropped, and
// counted.
type HitLog struct {
	in       chan logged
	dropped  atomic.Uint64
	versions atomic.Pointer[map[string]string]
	naming   sync.Mutex

	to      measured
	out     *bufio.Writer
	ends    []int64 // in the file, of the hits in out
	encode  vegeta.Encoder
	every   time.Duration // of due times, at most one hit each; 0: all
	hold    time.Duration
	held    int
	most    int                // to be held
	buckets map[int64][]logged // by due time, in windows
	last    map[string]*series
	sampled int64 // slot of the last hit written
	report  HitsLogged
	err     error
	done    chan struct{}
}

// HitsLogged says what became of the hits.
type HitsLogged struct {
	Written uint64
	Lost    uint64 // left out because writing failed, which is an error
	Sampled uint64 // left out because so many a second were asked for
	Dropped uint64 // left out because the log could not keep up
	Moved   uint64 // so late that they have the timestamp of another
}

// series is what is written of one attack name.
type series struct {
	next uint64
	due  int64
}

// logged is a hit on its way to the file.
type logged struct {
	due      int64         // in nanoseconds since 1970
	latency  time.Duration // from due
	version  string
	class    Class
	status   int
	bytesIn  int64
	target   *loggedTarget
	timeouts time.Duration // the hold that the load needs
}

type loggedTarget struct {
	method, url string
	body        uint64
}

// NewHitLog writes to w in format gob, json or csv, at most so many hits a second; 0: all.
func NewHitLog(w io.Writer, format string, perSecond float64) (*HitLog, error) {
	l := &HitLog{in: make(chan logged, hitsWaiting), to: measured{Writer: w}, done: make(chan struct{}), most: hitsHeld,
		buckets: make(map[int64][]logged), last: make(map[string]*series), sampled: -1}
	l.out = bufio.NewWriterSize(&l.to, 1<<16)
	switch format {
	case "gob":
		l.encode = vegeta.NewEncoder(l.out)
	case "json":
		l.encode = vegeta.NewJSONEncoder(l.out)
	case "csv":
		l.encode = vegeta.NewCSVEncoder(l.out)
	default:
		return nil, fmt.Errorf("format %q: want gob, json or csv, vegeta's encodings", format)
	}
	if perSecond > 0 {
		l.every = time.Duration(float64(time.Second) / perSecond)
	}
	l.versions.Store(&map[string]string{})
	go l.write()
	return l, nil
}

// hear returns what a run tells of its hits; base is the beginning of the run's clock.
func (l *HitLog) hear(p Plan, base time.Time) func(*outcome) {
	var targets []*loggedTarget
	for _, t := range p.targets() {
		u, err := url.Parse(t.URL)
		if err != nil {
			u = &url.URL{}
		}
		bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
		targets = append(targets, &loggedTarget{methodOf(t.Target), bare.String(), uint64(len(t.Body))})
	}
	began, timeout := base.UnixNano(), p.timeout()
	return func(o *outcome) {
		h := logged{due: began + int64(o.due), latency: o.answered - o.due, version: l.version(o.version), class: o.class,
			status: o.status, bytesIn: o.in, target: targets[o.target], timeouts: timeout}
		select {
		case l.in <- h:
		default:
			l.dropped.Add(1)
		}
	}
}

// version keeps one copy of a name, of as many as a run may have.
func (l *HitLog) version(text []byte) string {
	if len(text) == 0 {
		return noVersion
	}
	if name, known := (*l.versions.Load())[string(text)]; known {
		return name
	}
	l.naming.Lock()
	defer l.naming.Unlock()
	known := *l.versions.Load()
	if len(known) >= MaxVersions || !nameable(text) {
		return noVersion
	}
	more := maps.Clone(known)
	more[string(text)] = string(text)
	l.versions.Store(&more)
	return string(text)
}

// Close writes what is held, once no run goes on, and returns the first error of all the writing.
func (l *HitLog) Close() (HitsLogged, error) {
	close(l.in)
	<-l.done
	l.report.Lost += uint64(len(l.ends))
	l.report.Dropped = l.dropped.Load()
	return l.report, l.err
}

func (l *HitLog) write() {
	defer close(l.done)
	ticks := time.NewTicker(WindowLength)
	defer ticks.Stop()
	for {
		select {
		case h, more := <-l.in:
			if !more {
				l.release(func(int64) bool { return true })
				l.flush()
				return
			}
			l.take(h)
		case now := <-ticks.C:
			until := now.Add(-l.hold).UnixNano() / int64(WindowLength)
			l.release(func(window int64) bool { return window < until })
			l.flush()
		}
	}
}

func (l *HitLog) take(h logged) {
	l.hold = max(l.hold, h.timeouts+time.Second)
	window := h.due / int64(WindowLength)
	l.buckets[window] = append(l.buckets[window], h)
	if l.held++; l.held > l.most {
		oldest := slices.Min(slices.Collect(maps.Keys(l.buckets)))
		l.release(func(window int64) bool { return window == oldest })
	}
}

// release writes windows in their order.
func (l *HitLog) release(ready func(window int64) bool) {
	for _, window := range slices.Sorted(maps.Keys(l.buckets)) {
		if !ready(window) {
			return
		}
		hits := l.buckets[window]
		delete(l.buckets, window)
		l.held -= len(hits)
		slices.SortStableFunc(hits, func(a, b logged) int { return cmp.Compare(a.due, b.due) })
		for i := range hits {
			l.one(&hits[i])
		}
	}
}

// one writes a hit, unless its slot has one already: chosen by due time, and so regardless of what became of it.
func (l *HitLog) one(h *logged) {
	if l.every > 0 {
		slot := h.due / int64(l.every)
		if slot <= l.sampled {
			l.report.Sampled++
			return
		}
		l.sampled = slot
	}
	s := l.last[h.version]
	if s == nil {
		s = &series{due: h.due}
		l.last[h.version] = s
	}
	if h.due < s.due {
		h.due = s.due
		l.report.Moved++
	}
	s.due = h.due
	if l.err == nil {
		l.err = l.encode(&vegeta.Result{Attack: h.version, Seq: s.next, Code: uint16(h.status), Timestamp: time.Unix(0, h.due), Latency: h.latency,
			BytesOut: h.target.body, BytesIn: uint64(h.bytesIn), Error: string(h.class), Method: h.target.method, URL: h.target.url})
	}
	if l.err != nil {
		l.report.Lost++
		return
	}
	s.next++
	l.ends = append(l.ends, l.to.n+int64(l.out.Buffered()))
}

func (l *HitLog) flush() {
	if l.err == nil {
		l.err = l.out.Flush()
	}
	written, _ := slices.BinarySearch(l.ends, l.to.n+1)
	l.report.Written += uint64(written)
	l.ends = append(l.ends[:0], l.ends[written:]...)
}

// measured knows how much was written.
type measured struct {
	io.Writer
	n int64
}

func (c *measured) Write(data []byte) (int, error) {
	n, err := c.Writer.Write(data)
	c.n += int64(n)
	return n, err
}
