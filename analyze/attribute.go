package analyze

import "coalmine/attack"

// Access is what an access log says of one request.
type Access struct {
	Canary bool
	Status int // of the answer; 0: the log does not say
}

// AccessLog is what is known of requests by their ids.
type AccessLog map[attack.RequestID]Access

// Joined counts the hits without a version that an access log was asked about. Everything in it adds.
type Joined struct {
	Baseline, Canary uint64 // said to be this arm's, and moved to it
	Missing          uint64 // the log does not know them
	Other            uint64 // the log knows another answer than came here, or the window holds no such hit
	Beyond           uint64 // their ids were beyond attack.MaxIDs
}

// Moved are the hits that an arm was found for.
func (j Joined) Moved() uint64 { return j.Baseline + j.Canary }

// All are the hits without a version.
func (j Joined) All() uint64 { return j.Moved() + j.Missing + j.Other + j.Beyond }

func (j *Joined) add(o Joined) {
	j.Baseline += o.Baseline
	j.Canary += o.Canary
	j.Missing += o.Missing
	j.Other += o.Other
	j.Beyond += o.Beyond
}

// Attribute moves the hits of a window that an access log knows from unattributed to their arm, late ones in the window
// they were due in, each with its error class, latencies, and first and last answer. All else stays as it is, turns
// too: what was due, sent, answered and pending, and the window given. Where no canary is there is nothing to tell
// apart: windows of other phases are not touched.
func Attribute(w attack.Window, t Target, log AccessLog) (attack.Window, Joined) {
	var j Joined
	if !mixed(w.Phase) {
		return w, j
	}
	w.Targets = attributeParts(w.Targets, w.IDs, t, log)
	w.Answers = j.attribute(w.Answers, t, log)
	late := w.Late
	w.Late = nil
	for _, l := range late {
		l.Targets = attributeParts(l.Targets, l.IDs, t, log)
		l.Answers = j.attribute(l.Answers, t, log)
		w.Late = append(w.Late, l)
	}
	return w, j
}

// mixed reports whether a phase's traffic may reach a canary.
func mixed(phase string) bool { return phase == During || phase == Bake || phase == Attack }

func (j *Joined) attribute(a attack.Answers, t Target, log AccessLog) attack.Answers {
	missing, canary := uint64(0), t.arm(true)
	out, moved := a.Attributed(func(h attack.Anonymous) string {
		said, known := log[h.ID]
		if !known {
			missing++
		}
		if !known || !said.agrees(h.Class) {
			return ""
		}
		return t.arm(said.Canary)
	})
	ours := hits(out, canary) - hits(a, canary)
	j.add(Joined{Canary: ours, Baseline: moved - ours, Missing: missing, Other: uint64(len(a.IDs)) - moved - missing, Beyond: a.BeyondIDs})
	return out
}

// attributeParts moves the same hits in each target's part, which holds no ids of its own.
func attributeParts(parts map[string]*attack.Part, ids []attack.Anonymous, t Target, log AccessLog) map[string]*attack.Part {
	if len(parts) == 0 || len(ids) == 0 {
		return parts
	}
	out := make(map[string]*attack.Part, len(parts))
	for name, part := range parts {
		own := *part
		for _, h := range ids {
			if h.Target == name {
				own.IDs = append(own.IDs, h)
			}
		}
		own.Answers, _ = own.Attributed(func(h attack.Anonymous) string {
			if said, known := log[h.ID]; known && said.agrees(h.Class) {
				return t.arm(said.Canary)
			}
			return ""
		})
		own.IDs = nil
		out[name] = &own
	}
	return out
}

// agrees reports whether the log's status can be that of an answer which came here as of this class. What came to no
// good end, or was not as expected, may have any.
func (s Access) agrees(class attack.Class) bool {
	switch class {
	case "", attack.Transport, attack.Timeout, attack.Truncated, attack.Wrong:
		return true
	}
	return s.Status == 0 || attack.StatusClass(s.Status) == class
}

// arm is the version on one side, by its role where the run names none.
func (t Target) arm(canary bool) string {
	if canary {
		return orElse(t.Canary, "canary")
	}
	return orElse(t.Baseline, "baseline")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
