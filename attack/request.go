package attack

import (
	"net/http"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// A request is what goes over the wire for one hit.
type request struct {
	target     int    // which of the plan's
	wire       []byte // all of it, from the request line to the end of the body
	method     string
	idempotent bool      // may be sent once more
	id         RequestID // in wire; zero: none
}

// requests gives the hits of one connection their requests: the request of hit number n of the load, valid until the
// next call. Retries send the same one again. It is asked on the hot path, by one goroutine at a time.
type requests func(n uint64) *request

func methodOf(t vegeta.Target) string {
	if t.Method == "" {
		return http.MethodGet
	}
	return t.Method
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}
