package attack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"
)

// viaNetHTTP says whether hits go by net/http: HTTP/2 and proxies, which the client's own connections do not speak. A
// hit then costs several times as much, and turns are not counted: on which connection an answer came is not known.
func (p Plan) viaNetHTTP() bool { return p.HTTP2 || p.Proxy != "" }

// newTransport is what net/http needs to do as the plan says.
func (c *client) newTransport(p Plan) *http.Transport {
	t := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dialer.dial(ctx) },
		TLSClientConfig:        &tls.Config{},
		DisableCompression:     true,
		MaxIdleConns:           p.connections(),
		MaxIdleConnsPerHost:    p.connections(),
		MaxConnsPerHost:        p.connections(),
		MaxResponseHeaderBytes: headerBytes,
		Protocols:              new(http.Protocols),
	}
	if c.tls != nil {
		t.TLSClientConfig = c.tls.Clone()
		t.TLSClientConfig.NextProtos = nil // of Protocols
	}
	if p.HTTP2 {
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetUnencryptedHTTP2(true)
	} else {
		t.Protocols.SetHTTP1(true)
	}
	if proxy, err := url.Parse(p.Proxy); err == nil && p.Proxy != "" {
		t.Proxy = http.ProxyURL(proxy)
		t.DialContext = c.dialer.DialContext // to the proxy
	}
	return t
}

// hostOverPlainProxy reports that a proxy would be asked for another host than the URL's: without TLS net/http names it the
// one in the header.
func (p Plan) hostOverPlainProxy() bool {
	values, _, _ := p.Live.now()
	return p.Proxy != "" && slices.ContainsFunc(p.targets(), func(t Target) bool {
		return strings.HasPrefix(t.URL, "http:") && (hasHeader(t.Header, "Host") || values["Host"] != "")
	})
}

// asNetHTTP reads a request that is about to be sent as one of net/http. Where it goes is the client's word: the request's
// own host may be another.
func (c *client) asNetHTTP(ctx context.Context, r *request) (*http.Request, error) {
	q, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.wire)))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	q.URL.Scheme, q.URL.Host, q.RequestURI = c.scheme(), c.authority, ""
	q.Body, q.ContentLength = nil, int64(len(body))
	if len(body) > 0 {
		q.Body = io.NopCloser(bytes.NewReader(body))
	}
	return q.WithContext(ctx), nil
}

func (c *client) scheme() string {
	if c.tls != nil {
		return "https"
	}
	return "http"
}

// viaNetHTTP is what attempt is on a connection of one's own.
func (c *connection) viaNetHTTP(ctx context.Context, deadline time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, deadline-c.now())
	defer cancel()
	connections := 0 // net/http takes another where one turned out to be closed
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }})
	c.reply = reply{fresh: true}
	c.parser.begin()
	q, err := c.asNetHTTP(ctx, c.request)
	if err == nil {
		err = c.roundTrip(q)
	}
	if err != nil {
		c.reply.unsent = ownLimit(err)
		c.reply.fail(err)
	}
	c.reply.resent = connections > 1
}

func (c *connection) roundTrip(q *http.Request) error {
	response, err := c.transport.RoundTrip(q)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	c.reply.status = response.StatusCode
	for name, values := range response.Header {
		for _, v := range values {
			c.parser.fields = append(c.parser.fields, field{[]byte(name), []byte(v)})
		}
	}
	c.reply.body, err = io.ReadAll(io.LimitReader(response.Body, int64(c.keep)))
	c.reply.size = int64(len(c.reply.body))
	if err != nil {
		return err
	}
	dropped, err := io.Copy(io.Discard, response.Body)
	c.reply.size += dropped
	return err
}
