package stage

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A control plane whose certificate no system's authority has signed is spoken to when AWS_CA_BUNDLE names its authority,
// and else given up at once: what to name is said.
func TestOwnAuthority(t *testing.T) {
	var tries atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.Write([]byte(`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { tries.Add(1); return nil, nil }}
	s.StartTLS()
	defer s.Close()
	file := func(name string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	refused := func(bundle string, is error, want string) {
		t.Helper()
		t.Setenv("AWS_CA_BUNDLE", bundle)
		if _, err := Connect(t.Context(), Config{Endpoint: s.URL}); err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %s, got %v", bundle, want, err)
		}
	}
	refused("", ErrUnreachable, "where a proxy looks into TLS, AWS_CA_BUNDLE or")
	if tries.Load() != 1 {
		t.Errorf("a certificate nobody signed was tried %d times", tries.Load())
	}
	refused("/no/such.pem", nil, "AWS_CA_BUNDLE: open /no/such.pem: ")
	refused(file("junk.pem", []byte("junk")), nil, "junk.pem holds no certificate")

	t.Setenv("AWS_CA_BUNDLE", file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	c, err := Connect(t.Context(), Config{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if c.Account() != "111122223333" {
		t.Errorf("account %q", c.Account())
	}
}

// On AWS a bundle that cannot be used is told by its name, too.
func TestBadBundleForAWS(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for bundle, want := range map[string]string{
		"/no/such.pem": "read AWS configuration: open /no/such.pem: ",
		junk:           "read AWS configuration: failed to load custom CA bundle PEM file: AWS_CA_BUNDLE, or the profile's ca_bundle, has to name a file of certificates",
	} {
		t.Setenv("AWS_CA_BUNDLE", bundle)
		if _, err := Connect(t.Context(), Config{Region: "eu-west-1"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %s, got %v", bundle, want, err)
		}
	}
}
