package emulator

import (
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A log group keeps its newest groupEvents events, and forgets older ones: at 300 bytes an event that is 70 MB.
const groupEvents = 200_000

// logs are all log groups. The data plane writes to them, so they have locks of their own: one for the table, one a group.
type logs struct {
	mu     sync.RWMutex
	groups map[string]*logGroup
}

type logGroup struct {
	name, region string
	created      int64 // ms since 1970, as all times here

	mu     sync.Mutex
	tags   map[string]string
	events []logEvent // a ring once it is full: event n is at n modulo groupEvents
	next   int        // the number of the next event
	bytes  int64      // that were ever written
}

// logEvent: in order of their numbers, neither time goes back.
type logEvent struct {
	at, ingested int64
	stream       int
	message      string
}

var groupName = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)

func isGroupName(s string) bool { return groupName.MatchString(s) }

// group finds one, or makes it: API Gateway's role may create groups on AWS, and the twin of a canary appears by itself, too.
func (l *logs) group(name, region string) *logGroup {
	if g := l.find(name); g != nil {
		return g
	}
	g, _ := l.create(name, region)
	return g
}

func (l *logs) find(name string) *logGroup {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.groups[name]
}

// create says whether the group is new.
func (l *logs) create(name, region string) (*logGroup, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.groups[name]; g != nil {
		return g, false
	}
	if l.groups == nil {
		l.groups = map[string]*logGroup{}
	}
	g := &logGroup{name: name, region: region, created: time.Now().UnixMilli()}
	l.groups[name] = g
	return g, true
}

func (l *logs) remove(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, found := l.groups[name]
	delete(l.groups, name)
	return found
}

// list is in the order of names.
func (l *logs) list(matches func(name string) bool) []*logGroup {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var all []*logGroup
	for name, g := range l.groups {
		if matches(name) {
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b *logGroup) int { return cmp.Compare(a.name, b.name) })
	return all
}

func (g *logGroup) arn() string {
	return "arn:aws:logs:" + g.region + ":" + account + ":log-group:" + g.name
}

// put takes an event in; readers see it after the delay.
func (g *logGroup) put(stream int, message string, delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := logEvent{at: time.Now().UnixMilli(), stream: stream, message: message}
	e.ingested = e.at + delay.Milliseconds()
	if g.next > 0 {
		last := g.at(g.next - 1)
		e.at, e.ingested = max(e.at, last.at), max(e.ingested, last.ingested)
	}
	if len(g.events) < groupEvents {
		g.events = append(g.events, e)
	} else {
		g.events[g.next%groupEvents] = e
	}
	g.next++
	g.bytes += int64(len(message)) + 26 // what CloudWatch adds for each event
}

func (g *logGroup) at(n int) *logEvent { return &g.events[n%groupEvents] }

// span is what can be read now: events first to end-1.
func (g *logGroup) span() (first, end int) {
	first, end = g.next-len(g.events), g.next
	now := time.Now().UnixMilli()
	end = first + search(end-first, func(i int) bool { return g.at(first+i).ingested > now })
	return first, end
}

// search is the smallest i for which later is true, n if there is none; later must not turn false again.
func search(n int, later func(i int) bool) int {
	low, high := 0, n
	for low < high {
		if i := int(uint(low+high) >> 1); later(i) {
			high = i
		} else {
			low = i + 1
		}
	}
	return low
}

// selection is what a reader asks for.
type selection struct {
	from, to int64 // ms: from and to are both included; to may be math.MaxInt64
	filter   filter
	streams  func(stream int) bool
	limit    int  // events a page, at least 1
	backward bool // newest first
}

const (
	pageScan  = 10_000  // events that one page looks at: with a filter, pages are partly full or empty, as they are on AWS
	pageBytes = 1 << 20 // of messages in a page
)

// numbered is an event with its number.
type numbered struct {
	logEvent
	number int
}

// unset is no event's number: a reading begins at the selection's own beginning.
const unset = math.MinInt

// read makes one page from event number begin on. It says where the next one begins, and whether there may be any more.
func (g *logGroup) read(s selection, begin int) (page []numbered, next int, more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first, end := g.span()
	low := first + search(end-first, func(i int) bool { return g.at(first+i).at >= s.from })
	high := first + search(end-first, func(i int) bool { return g.at(first+i).at > s.to })
	high = max(low, high)
	n, step := low, 1
	if s.backward {
		n, step = high-1, -1
	}
	switch {
	case begin == unset:
	case s.backward:
		n = min(n, begin)
	default:
		n = max(n, begin)
	}
	bytes := 0
	for scanned := 0; n >= low && n < high; n += step {
		e := g.at(n)
		if scanned == pageScan || len(page) == s.limit || len(page) > 0 && bytes+len(e.message) > pageBytes {
			return page, n, true
		}
		scanned++
		if s.streams(e.stream) && s.filter.matches(e.message) {
			page = append(page, numbered{*e, n})
			bytes += len(e.message)
		}
	}
	return page, n, false
}

// stream is a log stream's name. API Gateway spreads a stage's events over many, with names that say nothing; here each host has one.
func (g *logGroup) stream(n int) string {
	sum := md5.Sum(fmt.Appendf(nil, "%s %d", g.name, n))
	return hex.EncodeToString(sum[:])
}

func (g *logGroup) streamNumber(name string) int {
	for n := range hostCount {
		if g.stream(n) == name {
			return n
		}
	}
	return -1
}

// usedStreams are those with at least one event that was delivered.
func (g *logGroup) usedStreams() map[int]streamUse {
	g.mu.Lock()
	defer g.mu.Unlock()
	used := map[int]streamUse{}
	first, end := g.span()
	for n := first; n < end; n++ {
		e := g.at(n)
		u, found := used[e.stream]
		if !found {
			u.first = e.at
		}
		u.last, u.ingested = e.at, e.ingested
		used[e.stream] = u
	}
	return used
}

// streamUse is the times (ms) of a stream's first event and its last.
type streamUse struct{ first, last, ingested int64 }

// filter is a pattern of terms: all of them must be in an event, one of those after a question mark, none of those after a minus.
type filter struct{ all, some, none []string }

// parseFilter takes terms. Patterns for JSON ("{ $.status = 500 }") and for columns ("[a, b]") are not emulated.
func parseFilter(pattern string) (filter, error) {
	var f filter
	rest := strings.TrimSpace(pattern)
	if strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, "[") || strings.HasPrefix(rest, "%") {
		return f, badLogRequest("Invalid filter pattern: the emulator knows terms only, not %q", pattern)
	}
	for rest != "" {
		to := &f.all
		switch rest[0] {
		case '?':
			to, rest = &f.some, rest[1:]
		case '-':
			to, rest = &f.none, rest[1:]
		}
		var term string
		if after, isQuoted := strings.CutPrefix(rest, `"`); isQuoted {
			var closed bool
			if term, rest, closed = cutQuoted(after); !closed {
				return f, badLogRequest("Invalid filter pattern: unterminated quote")
			}
		} else {
			n := strings.IndexAny(rest, " \t\r\n")
			if n < 0 {
				n = len(rest)
			}
			term, rest = rest[:n], rest[n:]
			if strings.Trim(term, termLetters) != "" {
				return f, badLogRequest("Invalid character(s) in term '%s'", term)
			}
		}
		if term == "" {
			return f, badLogRequest("Invalid filter pattern: empty term")
		}
		*to = append(*to, term)
		rest = strings.TrimSpace(rest)
	}
	return f, nil
}

const termLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

// cutQuoted ends at the first quote that has no backslash before it.
func cutQuoted(s string) (term, rest string, closed bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

func (f filter) matches(message string) bool {
	in := func(term string) bool { return strings.Contains(message, term) }
	absent := func(term string) bool { return !in(term) }
	return !slices.ContainsFunc(f.all, absent) && !slices.ContainsFunc(f.none, in) && (len(f.some) == 0 || slices.ContainsFunc(f.some, in))
}
