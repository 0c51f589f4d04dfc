package stage

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// readable sends bodies that can only be read. Smithy closes a request's body when the answer begins, while net/http may not
// have looked for the body's end yet; the WriteTo of a closed one returns io.EOF (smithy-go 1.28.9), which is an error to
// net/http, unlike Read's: it hangs up, an answer of more than 4 kB is cut off, and the SDK asks once more.
type readable struct{ aws.HTTPClient }

func (c readable) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return c.HTTPClient.Do(r)
}
