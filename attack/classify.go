package attack

import "errors"

// Answer is what a classifier sees of an answer; valid during the call only.
type Answer struct {
	Status int
	Header func(name string) []byte // first value of a header, nil where there is none
	Body   []byte                   // its first 64 KiB
}

// A Classifier says which version answered: a version, or why there is none (Conflict or Unrecognised; what follows
// from the status is the engine's to say). It must not allocate, and may be called by many goroutines at once; the
// engine keeps its own copy of each version.
type Classifier func(Answer) (version []byte, cause Cause)

// ParseClassifier understands "header:NAME", "json:POINTER" and "body:REGEX".
func ParseClassifier(rules []string) (Classifier, error) {
	return nil, errors.New("not yet")
}
