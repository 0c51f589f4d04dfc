package stage

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

// quick is a server that answers as soon as it has a body's last byte, before net/http has seen that it was the last.
type quick struct{ asked []error }

func (q *quick) Do(r *http.Request) (*http.Response, error) {
	q.asked = append(q.asked, r.Write(closesBody{r.Body}))
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{}`))}, nil
}

// closesBody is a connection; when it has taken in a body, it closes that as Smithy does when the answer begins.
type closesBody struct{ body io.Closer }

func (c closesBody) Write(b []byte) (int, error) { return len(b), nil }

func (c closesBody) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, r)
	return n, errors.Join(err, c.body.Close())
}

// net/http hangs up if it cannot write a request.
func TestAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	cfg, err := load(t.Context(), Config{}, "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	client, ok := cfg.HTTPClient.(readable)
	if !ok {
		t.Fatalf("bodies are sent by %T", cfg.HTTPClient)
	}
	server := &quick{}
	client.HTTPClient = server
	cfg.HTTPClient = client
	c := newClient(cfg, "http://127.0.0.1:1")
	if _, err := c.gateway.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: aws.String("a")}); err != nil {
		t.Fatal(err)
	}
	if len(server.asked) != 1 || server.asked[0] != nil {
		t.Errorf("the request was written so: %v", server.asked)
	}
}
