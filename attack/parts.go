package attack

import "slices"

// parts are the tallies of several targets, beside those of the whole. The zero value, of a load on one target, does
// nothing.
type parts struct {
	names    []string // of the tallies
	of       []int    // target's tally
	order    rotation
	perRound []uint64 // tally's hits
}

func newParts(p Plan) (s parts) {
	if !p.Several() {
		return s
	}
	for _, t := range p.targets() {
		i := slices.Index(s.names, t.Name)
		if i < 0 {
			i = len(s.names)
			s.names = append(s.names, t.Name)
		}
		s.of = append(s.of, i)
	}
	s.order = p.rotate()
	s.perRound = make([]uint64, len(s.names))
	for _, target := range s.order {
		s.perRound[s.of[target]]++
	}
	return s
}

// name is the tally's of a target, "" where there is only one.
func (s *parts) name(target int) string {
	if len(s.names) == 0 {
		return ""
	}
	return s.names[s.of[target]]
}

// due is how many of the hits from one number up to another, which is not one of them, are of each tally.
func (s *parts) due(from, to uint64) []uint64 {
	out := make([]uint64, len(s.names))
	if len(out) == 0 || to <= from {
		return out
	}
	round := uint64(len(s.order))
	for i, n := range s.perRound {
		out[i] = (to - from) / round * n
	}
	for n := to - (to-from)%round; n < to; n++ {
		out[s.of[s.order.of(n)]]++
	}
	return out
}

// count adds a hit that the whole has counted to its target's part.
func (s *parts) count(into *[]Answers, o *outcome, version string, cause Cause) {
	if len(s.names) == 0 {
		return
	}
	if *into == nil {
		*into = make([]Answers, len(s.names))
	}
	a := &(*into)[s.of[o.target]]
	if version != "" {
		tallyOf(&a.Arms, version).add(o)
	} else {
		tallyOf(&a.Unattributed, cause).add(o)
	}
}

// sealed are the parts as a window has them: those in which something was due, or was answered.
func (s *parts) sealed(counted []Answers, due []uint64) map[string]*Part {
	var out map[string]*Part
	for i, name := range s.names {
		part := &Part{}
		if due != nil {
			part.Due = due[i]
		}
		if counted != nil {
			part.Answers = counted[i]
		}
		if part.Due == 0 && len(part.Arms)+len(part.Unattributed) == 0 {
			continue
		}
		if out == nil {
			out = make(map[string]*Part)
		}
		out[name] = part
	}
	return out
}
