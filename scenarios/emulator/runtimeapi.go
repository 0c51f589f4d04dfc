package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	runtimePath = "/2018-06-01/runtime/"
	maxAnswer   = 6<<20 + 100 // Lambda's own limit for what a function returns, and for what it is sent
)

// task is one invocation on its way through a process.
type task struct {
	id, arn, trace string
	context        []byte // the client context: JSON, or nothing
	payload        []byte
	limit          time.Duration // the function's timeout
	deadline       time.Time     // when that is over
	done           chan result   // takes one
}

type result struct {
	payload []byte
	err     error
	log     []byte // what the process printed meanwhile, where that was asked for
}

// functionError is an unhandled error of a function, in Lambda's form.
type functionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
	payload []byte // as the function said it; nil: the two fields
}

func (e *functionError) Error() string { return e.Message }

func (e *functionError) encoded() []byte {
	if e.payload != nil {
		return e.payload
	}
	return encode(e)
}

func (t *task) failed(kind, format string, args ...any) error {
	return &functionError{Type: kind, Message: "RequestId: " + t.id + " Error: " + fmt.Sprintf(format, args...)}
}

// runtimeAPI is the Lambda Runtime API (2018-06-01) of one environment: its process asks for a task, answers, asks for the next.
type runtimeAPI struct {
	tasks  chan *task         // taken when the process asks for one
	ready  chan struct{}      // closed when it asked for the first: it has started
	broken chan functionError // takes one: it said that it could not start
	mux    *http.ServeMux

	mu      sync.Mutex
	asked   bool
	current *task
}

func newRuntimeAPI() *runtimeAPI {
	a := &runtimeAPI{tasks: make(chan *task), ready: make(chan struct{}), broken: make(chan functionError, 1), mux: http.NewServeMux()}
	a.mux.HandleFunc("GET "+runtimePath+"invocation/next", a.next)
	a.mux.HandleFunc("POST "+runtimePath+"invocation/{id}/response", a.response)
	a.mux.HandleFunc("POST "+runtimePath+"invocation/{id}/error", a.error)
	a.mux.HandleFunc("POST "+runtimePath+"init/error", a.initError)
	return a
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// next waits as long as it takes.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.current != nil {
		a.mu.Unlock()
		runtimeRefusal(w, http.StatusForbidden, "InvalidStateTransition", "the last invocation has not been answered")
		return
	}
	if !a.asked {
		a.asked = true
		close(a.ready)
	}
	a.mu.Unlock()
	select {
	case t := <-a.tasks:
		a.mu.Lock()
		a.current = t
		a.mu.Unlock()
		t.write(w)
	case <-r.Context().Done():
	}
}

func (t *task) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", t.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(t.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", t.arn)
	h.Set("Lambda-Runtime-Trace-Id", t.trace)
	if len(t.context) > 0 {
		h.Set("Lambda-Runtime-Client-Context", string(t.context))
	}
	h.Set("Content-Length", strconv.Itoa(len(t.payload)))
	w.WriteHeader(http.StatusOK)
	w.Write(t.payload)
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	t, payload := a.answered(w, r)
	if t == nil {
		return
	}
	// A function that streams finds out late that it failed, and says so behind the body.
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		t.done <- result{err: &functionError{Type: kind, Message: kind}}
	} else {
		t.done <- result{payload: payload}
	}
	runtimeAccepted(w)
}

func (a *runtimeAPI) error(w http.ResponseWriter, r *http.Request) {
	t, payload := a.answered(w, r)
	if t == nil {
		return
	}
	e := runtimeError(r, payload)
	t.done <- result{err: &e}
	runtimeAccepted(w)
}

func (a *runtimeAPI) initError(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
	if err != nil {
		return
	}
	select {
	case a.broken <- runtimeError(r, payload):
	default: // said before
	}
	runtimeAccepted(w)
}

// answered reads an answer and ends the task that it is for; nil when there is none, and the process was told.
func (a *runtimeAPI) answered(w http.ResponseWriter, r *http.Request) (*task, []byte) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
	large := errors.As(err, new(*http.MaxBytesError))
	if err != nil && !large {
		return nil, nil // the process ended while it was answering
	}
	a.mu.Lock()
	t := a.current
	if t != nil && t.id == r.PathValue("id") {
		a.current = nil
	} else {
		t = nil
	}
	a.mu.Unlock()
	switch {
	case t == nil:
		runtimeRefusal(w, http.StatusBadRequest, "InvalidRequestID", "no invocation of this id is under way")
		return nil, nil
	case large:
		said := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxAnswer)
		t.done <- result{err: &functionError{Type: "Function.ResponseSizeTooLarge", Message: said}}
		runtimeRefusal(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", said)
		return nil, nil
	}
	return t, payload
}

// runtimeError keeps what a runtime said of an error, whether or not it kept to the form.
func runtimeError(r *http.Request, payload []byte) functionError {
	e := functionError{}
	if json.Unmarshal(payload, &e) == nil {
		e.payload = payload
	}
	if e.Type == "" {
		e.Type = r.Header.Get("Lambda-Runtime-Function-Error-Type")
	}
	if e.Message == "" {
		e.Message = "the function failed and did not say why"
	}
	return e
}

func runtimeAccepted(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"status":"OK"}`)
}

func runtimeRefusal(w http.ResponseWriter, status int, kind, said string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(encode(functionError{Type: kind, Message: said}))
}
