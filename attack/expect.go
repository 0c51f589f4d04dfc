package attack

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// Expect is what an answer must be to count as a success. The zero value wants status 200, whatever the body.
type Expect struct {
	Status []int            `json:"status,omitempty" yaml:"status,omitempty"` // any of these, even from 300 up; none: 200
	JSON   map[string]Shape `json:"json,omitempty" yaml:"json,omitempty"`     // by JSON pointer (RFC 6901), all of them
}

// Shape is what must be found at a JSON pointer: with the zero value, anything.
type Shape struct {
	MinItems int `json:"min-items,omitempty" yaml:"min-items,omitempty"` // above 0: an array of at least so many
}

func (e Expect) validate() error {
	for _, s := range e.Status {
		if s < 100 || s > 599 {
			return fmt.Errorf("status %d: want 100 to 599", s)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(e.JSON)) {
		if _, err := parsePointer(at); err != nil {
			return fmt.Errorf("json: %w", err)
		}
		if n := e.JSON[at].MinItems; n < 0 {
			return fmt.Errorf("json: %s: min-items %d is negative: want at least 0", at, n)
		}
	}
	return nil
}

// An expectation is a parsed Expect.
type expectation struct {
	status []int
	shapes []shapeAt
}

type shapeAt struct {
	name  string
	at    pointer
	least int
}

func (e Expect) parse() (x expectation) {
	x.status = e.Status
	if len(x.status) == 0 {
		x.status = []int{http.StatusOK}
	}
	for _, name := range slices.Sorted(maps.Keys(e.JSON)) {
		at, err := parsePointer(name)
		if err != nil {
			panic("attack: " + err.Error()) // Validate refuses it
		}
		x.shapes = append(x.shapes, shapeAt{name, at, e.JSON[name].MinItems})
	}
	return x
}

// wantsBody says whether the body decides about success.
func (x *expectation) wantsBody() bool { return len(x.shapes) > 0 }

// class judges a reply. A reply that did not end well is judged by how it ended, whatever its status.
func (x *expectation) class(r *reply) Class {
	switch {
	case r.class != "":
		return r.class
	case !slices.Contains(x.status, r.status):
		return StatusClass(r.status)
	case x.wantsBody() && x.unmet(r.body) != "":
		return Wrong
	}
	return ""
}

// StatusClass is the class of a status that is not expected.
func StatusClass(status int) Class {
	switch {
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusForbidden:
		return Forbidden
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusGatewayTimeout:
		return GatewayTime
	case status >= 500:
		return ServerError
	case status >= 400:
		return ClientError
	case status >= 300:
		return Redirect
	}
	return Wrong
}

// unmet says what is missing in a body, "" where nothing is.
func (x *expectation) unmet(body []byte) string {
	if !json.Valid(body) {
		return "not JSON"
	}
	for _, s := range x.shapes {
		value := s.at.find(body)
		if value == nil {
			return "no " + s.name
		}
		if s.least == 0 {
			continue
		}
		if n := items(value); n < 0 {
			return s.name + " is not an array"
		} else if n < s.least {
			return fmt.Sprintf("%s has %d items, want %d", s.name, n, s.least)
		}
	}
	return ""
}

// example describes an answer of class wrong, redacted, for a person to see what was wrong.
func (x *expectation) example(r *reply, mine own) string {
	text := fmt.Sprintf("status %d, %d bytes", r.status, r.size)
	if slices.Contains(x.status, r.status) {
		text += ", " + x.unmet(r.body)
	}
	if len(r.body) > 0 {
		text += ": " + redact(mine.hide(r.body), exampleBytes)
	}
	return text
}
