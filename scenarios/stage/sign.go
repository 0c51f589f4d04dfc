package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Signing says for whom requests are signed. Its zero fields are the usual: execute-api, in the region of the URL, else
// the configuration's.
type Signing struct {
	Service, Region string
}

// ParseSigning reads SERVICE or REGION/SERVICE.
func ParseSigning(s string) (Signing, error) {
	region, service, both := strings.Cut(s, "/")
	if !both {
		region, service = "", s
	}
	if service == "" || both && region == "" || strings.ContainsAny(s, " \t\r\n") || strings.Contains(service, "/") {
		return Signing{}, fmt.Errorf("%q: want SERVICE or REGION/SERVICE, as in eu-west-1/execute-api", s)
	}
	return Signing{Service: service, Region: region}, nil
}

// Signer signs requests to a URL, by the SDK's signer and with credentials as the SDK finds and refreshes them; on
// loopback those of Connect. It asks for them once, so that what is missing shows before anything is sent.
func (s Signing) Signer(ctx context.Context, c Config, to string) (func(ctx context.Context, r *http.Request, body []byte, at time.Time) error, error) {
	endpoint, err := effectiveEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	if endpoint == "" && isLoopback(to) {
		endpoint = to
	}
	c.Region = firstOf(s.Region, c.Region, regionOf(to))
	cfg, err := load(ctx, c, endpoint)
	if err != nil {
		return nil, err
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("find credentials to sign with: %w", condense(err))
	}
	signer, service := v4.NewSigner(), firstOf(s.Service, "execute-api")
	return func(ctx context.Context, r *http.Request, body []byte, at time.Time) error {
		keys, err := cfg.Credentials.Retrieve(ctx)
		if err != nil {
			return fmt.Errorf("refresh credentials: %w", condense(err))
		}
		hash := sha256.Sum256(body)
		return signer.SignHTTP(ctx, keys, r, hex.EncodeToString(hash[:]), service, cfg.Region, at)
	}, nil
}

// regionOf is the region that a URL of execute-api names: ID.execute-api.REGION.amazonaws.com.
func regionOf(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return ""
	}
	labels := strings.Split(u.Hostname(), ".")
	for i, label := range labels {
		if label == "execute-api" && i+2 < len(labels) && (labels[i+2] == "amazonaws" || labels[i+2] == "vpce") {
			return labels[i+1]
		}
	}
	return ""
}
