package emulator

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	account       = "000000000000"
	defaultRegion = "us-east-1"

	maxBody = 70167211 // Lambda's own limit for a request that carries a zip
)

// call is one control-plane request, read to its end before any lock is taken.
type call struct {
	ctx    context.Context
	path   func(name string) string
	query  url.Values
	header http.Header
	body   []byte
	region string
}

// answer is what an operation says when it goes well.
type answer struct {
	status int
	body   any // nil: an empty body; []byte: as it is
	header map[string]string
}

func ok(body any) (answer, error)      { return answer{status: http.StatusOK, body: body}, nil }
func created(body any) (answer, error) { return answer{status: http.StatusCreated, body: body}, nil }
func accepted() (answer, error)        { return answer{status: http.StatusAccepted}, nil }
func noContent() (answer, error)       { return answer{status: http.StatusNoContent}, nil }

// refusal is an error in AWS's shape: a code in x-amzn-ErrorType and a body that differs a little between services.
type refusal struct {
	status int
	code   string
	body   any
	header map[string]string
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %v", r.code, r.body) }

// text is the sentence for a person.
func (r *refusal) text() string {
	var body struct{ Message string } // "message", too
	json.Unmarshal(encode(r.body), &body)
	return body.Message
}

type message struct {
	Text string `json:"message"`
}

func refuse(status int, code, format string, args ...any) error {
	return &refusal{status: status, code: code, body: message{fmt.Sprintf(format, args...)}}
}

func badRequest(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "BadRequestException", format, args...)
}

func notFound(format string, args ...any) error {
	return refuse(http.StatusNotFound, "NotFoundException", format, args...)
}

func conflict(format string, args ...any) error {
	return refuse(http.StatusConflict, "ConflictException", format, args...)
}

func invalid(value, at, constraint string) error {
	return refuse(http.StatusBadRequest, "ValidationException",
		"1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, at, constraint)
}

func (c *call) decode(into any) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return refuse(http.StatusBadRequest, "SerializationException", "could not parse request body: %v", err)
	}
	return nil
}

// read takes in one request; region is the one that the client signed for.
func read(w http.ResponseWriter, r *http.Request, limit int64) (*call, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil { // or the client has gone, and reads nothing
		return nil, refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"Request must be smaller than %d bytes", limit)
	}
	return &call{ctx: r.Context(), path: r.PathValue, query: r.URL.Query(), header: r.Header, body: body, region: signedRegion(r)}, nil
}

func signedRegion(r *http.Request) string {
	_, scope, found := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if parts := strings.SplitN(scope, "/", 5); found && len(parts) == 5 && isName(parts[2]) {
		return parts[2]
	}
	return defaultRegion
}

func isName(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

func respond(w http.ResponseWriter, requestID string, a answer, err error) {
	h := w.Header()
	h["x-amzn-RequestId"] = []string{requestID}
	if err != nil {
		var r *refusal
		if !asRefusal(err, &r) {
			r = &refusal{status: http.StatusInternalServerError, code: "ServiceException", body: message{err.Error()}}
		}
		h["x-amzn-ErrorType"] = []string{r.code}
		a = answer{status: r.status, body: r.body, header: r.header}
	}
	for name, value := range a.header {
		h[name] = []string{value}
	}
	body, raw := a.body.([]byte)
	if !raw && a.body != nil {
		body = encode(a.body)
	}
	if len(body) > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if a.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	w.Write(body)
}

func asRefusal(err error, r **refusal) bool {
	return errors.As(err, r)
}

// encode leaves & < > as they are: URIs come back as they were sent.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // only our own structs come here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// epoch is API Gateway's time on the wire: seconds, as a number.
type epoch int64

func now() epoch { return epoch(time.Now().Unix()) }

// decimal keeps its point on the wire (50.0), as AWS's floats do; boto3 would read an int otherwise.
type decimal float64

func (d decimal) MarshalJSON() ([]byte, error) {
	b := strconv.AppendFloat(nil, float64(d), 'f', -1, 64)
	if !bytes.ContainsRune(b, '.') {
		b = append(b, ".0"...)
	}
	return b, nil
}

// list is a page of an API Gateway collection.
type list[T any] struct {
	Item     []T    `json:"item"`
	Position string `json:"position,omitempty"`
}

func paged[T any](items []T, q url.Values) (answer, error) {
	part, next, err := page(items, q.Get("position"), q.Get("limit"), 25, 500, badRequest)
	if err != nil {
		return answer{}, err
	}
	return ok(list[T]{part, next})
}

// page cuts items at a position that an earlier page gave out.
func page[T any](items []T, position, limit string, usual, most int, bad func(format string, args ...any) error) (part []T, next string, err error) {
	n := usual
	if limit != "" {
		if n, err = strconv.Atoi(limit); err != nil || n < 1 {
			return nil, "", bad("Invalid limit %s", limit)
		}
	}
	from := 0
	if position != "" {
		text, err := base64.RawURLEncoding.DecodeString(position)
		if err == nil {
			from, err = strconv.Atoi(string(text))
		}
		if err != nil || from < 0 {
			return nil, "", bad("Invalid position parameter %s", position)
		}
	}
	from = min(from, len(items))
	to := min(from+min(n, most), len(items))
	if to < len(items) {
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to)))
	}
	return append([]T{}, items[from:to]...), next, nil
}

func unknownOperation(w http.ResponseWriter, r *http.Request) {
	respond(w, requestID(r), answer{}, refuse(http.StatusNotFound, "UnknownOperationException",
		"the emulator knows no operation %s %s", r.Method, r.URL.Path))
}
