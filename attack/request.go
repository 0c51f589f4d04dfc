package attack

import (
	"bytes"
	"net/http"
	"net/url"

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

// serialise writes a target as it goes over the wire for all hits alike.
func (p Plan) serialise(target vegeta.Target) (*request, *url.URL, error) {
	target.Method = methodOf(target)
	header := make(http.Header)
	for name, values := range target.Header {
		for _, v := range values {
			header.Add(name, v)
		}
	}
	target.Header = header
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", p.UserAgent)
		if p.UserAgent == "" {
			header.Set("User-Agent", DefaultUserAgent)
		}
	}
	if p.RunID != "" {
		header.Set("X-Coalmine-Run", p.RunID)
	}
	if p.RequestIDs {
		header.Set(idHeader, RequestID{}.String())
	}
	r, err := target.Request()
	if err != nil {
		return nil, nil, err
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		return nil, nil, err
	}
	return &request{wire: wire.Bytes(), method: target.Method, idempotent: idempotent(target.Method)}, r.URL, nil
}

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

// constant is the source of a connection whose hits are all alike, but for their ids if they have some.
func constant(r request, identified bool) requests {
	if !identified {
		return func(uint64) *request { return &r }
	}
	r.wire = bytes.Clone(r.wire)
	ids := newIDs(r.wire)
	return func(uint64) *request {
		r.id = ids.next()
		return &r
	}
}
