package attack

import (
	"fmt"
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
	return nil
}
