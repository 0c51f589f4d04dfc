package attack

import (
	crypto "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// MaxIDs bounds the request ids that a sealed window holds: so many of its own hits, and so many late ones in all. At
// 100 bytes each a window of nothing but errors stays below 200 KB, and up to 10,000 hits/s nothing is beyond it.
const MaxIDs = 1000

// idHeader is the header whose UUID API Gateway makes its own request id, writes to its access log, and echoes.
const idHeader = "X-Amzn-Requestid"

// runHeader tells load from customers.
const runHeader = "X-Coalmine-Run"

// RequestID is a UUID that a hit carries.
type RequestID [16]byte

const uuidLength = 36

// The digits of a UUID: 8-4-4-4-12.
var uuidParts = [...]struct{ text, from, to int }{{0, 0, 4}, {9, 4, 6}, {14, 6, 8}, {19, 8, 10}, {24, 10, 16}}

func (id RequestID) put(text []byte) {
	for i, p := range uuidParts {
		if i > 0 {
			text[p.text-1] = '-'
		}
		hex.Encode(text[p.text:], id[p.from:p.to])
	}
}

func (id RequestID) String() string {
	var text [uuidLength]byte
	id.put(text[:])
	return string(text[:])
}

// MarshalText writes lower-case digits with hyphens.
func (id RequestID) MarshalText() ([]byte, error) {
	text := make([]byte, uuidLength)
	id.put(text)
	return text, nil
}

// UnmarshalText reads a UUID of any version, in digits of either case.
func (id *RequestID) UnmarshalText(text []byte) error {
	if !id.parse(text) {
		return fmt.Errorf("request id: %d bytes that are no UUID", len(text))
	}
	return nil
}

// parse leaves id as it is where the text is no UUID.
func (id *RequestID) parse(text []byte) bool {
	if len(text) != uuidLength {
		return false
	}
	var got RequestID
	for i, p := range uuidParts {
		if i > 0 && text[p.text-1] != '-' {
			return false
		}
		if _, err := hex.Decode(got[p.from:p.to], text[p.text:p.text+2*(p.to-p.from)]); err != nil {
			return false
		}
	}
	*id = got
	return true
}

// Anonymous is an unattributed hit that can be found again by its request id: enough to move it to an arm later.
type Anonymous struct {
	ID       RequestID     `json:"id"`
	Cause    Cause         `json:"cause"`              // whose tally it is counted in
	Target   string        `json:"target,omitempty"`   // of a load on several
	Class    Class         `json:"class,omitempty"`    // "": a success
	Answered time.Duration `json:"at_ns"`              // since the run began
	Response int           `json:"response,omitempty"` // bin, of a success
	Service  int           `json:"service,omitempty"`  // bin, of a success
}

// Attributed are the answers with hits moved from unattributed to the version that each is said to be of, "" for none:
// hit by hit, with class, latencies, and first and last answer. a itself stays as it is. A hit that its cause's tally
// cannot hold is not moved. First and Last of what stays unattributed are exact where all of it has ids, else they
// span at least what they should.
func (a Answers) Attributed(version func(Anonymous) string) (Answers, uint64) {
	out, moved := a.clone(), uint64(0)
	out.IDs = nil
	for _, h := range a.IDs {
		if to := version(h); to == "" || !out.move(h, to) {
			out.IDs = append(out.IDs, h)
		} else {
			moved++
		}
	}
	if moved == 0 {
		return a, 0
	}
	out.narrow()
	return out, moved
}

func (a Answers) clone() Answers {
	a.Arms, a.Unattributed = cloneTallies(a.Arms), cloneTallies(a.Unattributed)
	return a
}

func cloneTallies[K comparable](m map[K]*Tally) map[K]*Tally {
	out := make(map[K]*Tally, len(m))
	for key, t := range m {
		own := *t
		own.Errors, own.Response, own.Service = maps.Clone(t.Errors), slices.Clone(t.Response), slices.Clone(t.Service)
		out[key] = &own
	}
	return out
}

func (a *Answers) move(h Anonymous, version string) bool {
	from := a.Unattributed[h.Cause]
	if from == nil || !from.take(h) {
		return false
	}
	if from.Hits == 0 {
		delete(a.Unattributed, h.Cause)
	}
	tallyOf(&a.Arms, version).put(h.Class, h.Answered, h.Response, h.Service)
	return true
}

// narrow sets First and Last of each cause of which every hit has an id.
func (a *Answers) narrow() {
	of := make(map[Cause][]time.Duration)
	for _, h := range a.IDs {
		of[h.Cause] = append(of[h.Cause], h.Answered)
	}
	for cause, t := range a.Unattributed {
		if at := of[cause]; uint64(len(at)) == t.Hits {
			t.First, t.Last = slices.Min(at), slices.Max(at)
		}
	}
}

// take is put undone, but for First and Last: these need the other hits.
func (t *Tally) take(h Anonymous) bool {
	if t.Hits == 0 {
		return false
	}
	if h.Class != "" {
		if t.Errors[h.Class] == 0 {
			return false
		}
		if t.Errors[h.Class]--; t.Errors[h.Class] == 0 {
			delete(t.Errors, h.Class)
		}
		t.Hits--
		return true
	}
	response, inResponse := t.Response.search(0, h.Response)
	service, inService := t.Service.search(0, h.Service)
	if !inResponse || !inService || t.Hits == t.Failed() {
		return false
	}
	t.Response.takeAt(response)
	t.Service.takeAt(service)
	t.Hits--
	return true
}

func (h *Histogram) takeAt(i int) {
	if (*h)[i].Count--; (*h)[i].Count == 0 {
		*h = slices.Delete(*h, i, i+1)
	}
	if len(*h) == 0 {
		*h = nil // as if there had never been one
	}
}

// ids makes the request ids of one connection, and writes each into its copy of the request.
type ids struct{ source *rand.ChaCha8 }

func newIDs() ids {
	var seed [32]byte
	crypto.Read(seed[:]) // never fails
	return ids{rand.NewChaCha8(seed)}
}

// next gives the coming request another id, of version 4.
func (g *ids) next() (id RequestID) {
	binary.BigEndian.PutUint64(id[:8], g.source.Uint64())
	binary.BigEndian.PutUint64(id[8:], g.source.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
