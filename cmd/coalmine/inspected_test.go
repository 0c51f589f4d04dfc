package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coalmine/scenarios/emulator"
)

// inspector is a company's proxy on the way to AWS, here to an emulator: it opens TLS, with certificates of its own authority.
type inspector struct {
	*httptest.Server
	ca    *x509.Certificate
	key   *ecdsa.PrivateKey
	inner *httptest.Server // what is in the tunnels

	mu    sync.Mutex
	asked map[string]bool // for tunnels to these hosts
}

func newInspector(t *testing.T, aws string) *inspector {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &inspector{key: key, asked: map[string]bool{}}
	p.ca = p.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	to, err := url.Parse(aws)
	if err != nil {
		t.Fatal(err)
	}
	p.inner = httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(to))
	p.inner.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf := p.sign(t, &x509.Certificate{DNSNames: []string{hello.ServerName}}, p.ca)
		return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: p.key}, nil
	}}
	p.inner.Config.ErrorLog = log.New(io.Discard, "", 0) // certificates that are refused
	p.inner.StartTLS()
	t.Cleanup(p.inner.Close)
	p.Server = httptest.NewServer(http.HandlerFunc(p.tunnel))
	t.Cleanup(p.Server.Close)
	return p
}

// sign makes a certificate, of the authority itself where there is no parent.
func (p *inspector) sign(t *testing.T, c, parent *x509.Certificate) *x509.Certificate {
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, p.key.Public(), p.key)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Error(err)
	}
	return c
}

func (p *inspector) tunnel(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.Host] = true
	p.mu.Unlock()
	there, err := net.Dial("tcp", p.inner.Listener.Addr().String())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func(r *bufio.Reader) { io.Copy(there, r); there.Close() }(buffered.Reader)
	io.Copy(here, there)
}

// Behind a proxy that looks into TLS AWS is spoken to when AWS_CA_BUNDLE, or the profile, names the proxy's authority.
func TestInspected(t *testing.T) {
	t.Parallel()
	s := newSystem(t, emulator.Faults{})
	p := newInspector(t, s.server.URL())
	dir := t.TempDir()
	ca, config := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "config")
	for path, text := range map[string]string{
		ca:     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.ca.Raw})),
		config: "[default]\nregion = eu-west-1\n[profile company]\nregion = eu-west-1\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\nca_bundle = " + ca + "\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said := func(bundle string, args ...string) (string, error) {
		c := child(t, nil, args...)
		c.Env = append(slices.DeleteFunc(c.Env, func(v string) bool {
			return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(strings.ToUpper(v), "NO_PROXY=")
		}),
			"HTTPS_PROXY="+p.URL, "AWS_CA_BUNDLE="+bundle, "AWS_CONFIG_FILE="+config, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
			"AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "XDG_STATE_HOME="+dir)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	show := []string{"canary", "show", "--api", "products"}
	const want = "where a proxy looks into TLS, AWS_CA_BUNDLE or the profile's ca_bundle names the file of its authority"
	if out, err := said("", show...); err == nil || !strings.Contains(out, want) {
		t.Errorf("without the authority: %v, %s", err, out)
	}
	if out, err := said(ca, show...); err != nil || !strings.Contains(out, "stage prod") {
		t.Errorf("with AWS_CA_BUNDLE: %v, %s", err, out)
	}
	if out, err := said("", "stack", "down", "--expect-account", s.client.Account(), "--profile", "company"); err != nil || !strings.Contains(out, "removed") {
		t.Errorf("with the profile's ca_bundle: %v, %s", err, out)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	hosts := strings.Join(slices.Sorted(maps.Keys(p.asked)), " ")
	if want := "apigateway.eu-west-1 iam lambda.eu-west-1 logs.eu-west-1 sts.eu-west-1"; strings.ReplaceAll(hosts, ".amazonaws.com:443", "") != want {
		t.Errorf("the proxy was asked for %s, want %s", hosts, want)
	}
}
