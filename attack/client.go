package attack

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

const (
	classifiedBytes = 64 << 10  // what a classifier sees of a body
	keptBytes       = 10 << 20  // what an expectation sees of it; what follows is read and dropped
	headerBytes     = 256 << 10 // a longer header is no answer
	mostInformative = 5         // 1xx answers before the one that counts
)

// A target may close a connection that lies idle, and a request can cross that on its way: nobody's error. So a
// request that finds its connection closed after an idle second is sent once more on a new one. On a connection in
// use a close instead of an answer is the target's error, and stays one. What must not be sent twice is never sent on
// a connection that was idle for long.
const (
	idleForRetry  = time.Second
	idleForReopen = 4 * time.Second
)

// client is what the connections of a run share: what they send and where it goes to.
//
// There is no net/http Transport in it: its two goroutines a connection cost half of what a hit costs, it retries
// where an error has to be counted, and it does not say on which connection an answer came, which turns need.
type client struct {
	address    string
	tls        *tls.Config     // nil: plain
	requests   func() requests // of a new connection
	own        own             // what must not be shown of them
	identified bool            // each request has an id
	timeout    time.Duration
	keep       int // bytes of a body
	dialer     net.Dialer
}

// newClient prepares a plan that is valid.
func newClient(p Plan) (*client, error) {
	request, to, err := p.serialise(p.Target)
	if err != nil {
		return nil, err
	}
	c := &client{
		address:    hostPort(to),
		requests:   func() requests { return constant(*request, p.RequestIDs) },
		own:        ownValues(p.Target),
		identified: p.RequestIDs,
		timeout:    p.timeout(),
		keep:       classifiedBytes,
	}
	if len(p.Expect.JSON) > 0 {
		c.keep = keptBytes
	}
	if to.Scheme == "https" {
		c.tls = &tls.Config{ServerName: to.Hostname(), InsecureSkipVerify: p.Insecure, NextProtos: []string{"http/1.1"}}
	}
	return c, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// A reply is what came of one request; valid until the next on its connection.
type reply struct {
	status int // 0: no answer
	header http.Header
	body   []byte
	size   int64 // of the body, kept or not
	fresh  bool  // came on another connection than the one before
	class  Class // how it ended: Transport, Timeout, Truncated, or "" for a whole answer
	unsent bool  // this machine could not open a connection: nothing came of the hit, and the target is not to blame
	err    error // why
}

// fail notes how a reply ended; what came before a body's end still classifies.
func (r *reply) fail(err error) {
	var timeout interface{ Timeout() bool }
	r.err = err
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		r.class = Timeout
	case r.status != 0:
		r.class = Truncated
	default:
		r.class = Transport
	}
}

// A connection carries one request at a time. It opens when first needed, and again when the target closed it.
type connection struct {
	*client
	source    requests
	request   *request // of the hit under way, or of the last one
	conn      net.Conn // nil: closed
	raw       net.Conn // under TLS; what is closed, because a farewell could block
	unwatch   func() bool
	from      meter
	br        *bufio.Reader
	head      http.Request // what the parser needs to know of the request
	fresh     bool
	idleSince time.Time
	reply     reply
	headers   []byte // header values handed out
	lookup    func(name string) []byte
}

func (c *client) connection() *connection {
	conn := &connection{client: c, source: c.requests()}
	conn.br = bufio.NewReader(&conn.from)
	conn.lookup = conn.headerValue
	return conn
}

// headerValue is Answer.Header. Values are copied into one buffer that is used again for the next answer: an earlier
// value stays valid when the buffer grows.
func (c *connection) headerValue(name string) []byte {
	value := c.reply.header.Get(name)
	if value == "" {
		return nil
	}
	start := len(c.headers)
	c.headers = append(c.headers, value...)
	return c.headers[start:len(c.headers):len(c.headers)]
}

// requestID is what the last hit went by: what the answer says, where it says a UUID, else what was sent.
func (c *connection) requestID() RequestID {
	id := c.request.id
	id.parse(c.headerValue(idHeader))
	return id
}

// classify asks which version answered, whatever the status, and even where the body has no end.
func (c *connection) classify(classifier Classifier) (version []byte, cause Cause) {
	if c.reply.status == 0 || classifier == nil {
		return nil, Unrecognised
	}
	body := c.reply.body
	version, cause = classifier(Answer{Status: c.reply.status, Header: c.lookup, Body: body[:min(len(body), classifiedBytes)]})
	switch {
	case len(version) > 0:
		return version, ""
	case cause == "":
		return nil, Unrecognised
	}
	return nil, cause
}

// do sends the request of hit n and reads its answer to the end. It returns soon after ctx ends.
func (c *connection) do(ctx context.Context, n uint64) *reply {
	c.request = c.source(n)
	sent := time.Now()
	deadline := sent.Add(c.timeout)
	idle := time.Duration(0)
	if c.conn != nil {
		idle = sent.Sub(c.idleSince)
	}
	if idle >= idleForReopen && !c.request.idempotent {
		c.close()
	}
	c.attempt(ctx, deadline)
	if c.reply.class == Transport && !c.reply.fresh && c.from.got == 0 && idle >= idleForRetry && c.request.idempotent {
		c.close()
		c.attempt(ctx, deadline)
	}
	c.idleSince = time.Now()
	return &c.reply
}

func (c *connection) attempt(ctx context.Context, deadline time.Time) {
	kept := c.reply.body
	if cap(kept) > 16*classifiedBytes {
		kept = nil
	}
	c.reply = reply{body: kept[:0]}
	c.headers = c.headers[:0]
	if c.conn == nil {
		if err := c.open(ctx, deadline); err != nil {
			c.reply.fresh = true
			c.reply.unsent = ownLimit(err)
			c.reply.fail(err)
			return
		}
	}
	c.reply.fresh, c.fresh = c.fresh, false
	if !c.exchange(deadline) {
		c.close()
	}
}

// exchange says whether the connection can carry another request.
func (c *connection) exchange(deadline time.Time) (reusable bool) {
	c.from.got, c.from.left = 0, headerBytes
	if err := c.conn.SetDeadline(deadline); err != nil {
		c.reply.fail(err)
		return false
	}
	c.head.Method = c.request.method
	_, sendErr := c.conn.Write(c.request.wire)
	response, err := c.readHeader() // a target may answer before it has read all, and close
	if err != nil {
		if sendErr != nil {
			err = sendErr
		}
		c.reply.fail(err)
		return false
	}
	c.reply.status, c.reply.header = response.StatusCode, response.Header
	c.from.left = -1
	if err := c.readBody(response.Body); err != nil {
		c.reply.fail(err)
		return false
	}
	// Bytes that nobody asked for would be taken for the next answer.
	return sendErr == nil && !response.Close && response.StatusCode != http.StatusSwitchingProtocols && c.br.Buffered() == 0
}

func (c *connection) readHeader() (*http.Response, error) {
	for range mostInformative {
		response, err := http.ReadResponse(c.br, &c.head)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
	return nil, errors.New("more than 5 answers of status 1xx")
}

// readBody reads a body to its end and keeps its beginning.
func (c *connection) readBody(body io.Reader) (err error) {
	kept := c.reply.body
	for len(kept) < c.keep && err == nil {
		if len(kept) == cap(kept) {
			kept = append(kept, make([]byte, max(512, len(kept)))...)[:len(kept)]
		}
		var n int
		n, err = body.Read(kept[len(kept):min(cap(kept), c.keep)])
		kept = kept[:len(kept)+n]
	}
	c.reply.body, c.reply.size = kept, int64(len(kept))
	if err == nil {
		var dropped int64
		dropped, err = io.Copy(io.Discard, body)
		c.reply.size += dropped
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func (c *connection) open(ctx context.Context, deadline time.Time) error {
	dialing, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	raw, err := c.dialer.DialContext(dialing, "tcp", c.address)
	if err != nil {
		return err
	}
	conn := raw
	if c.tls != nil {
		secure := tls.Client(raw, c.tls)
		if err := secure.HandshakeContext(dialing); err != nil {
			raw.Close()
			return err
		}
		conn = secure
	}
	c.conn, c.fresh = conn, true
	c.from = meter{Reader: conn}
	c.br.Reset(&c.from)
	c.raw = raw
	c.unwatch = context.AfterFunc(ctx, func() { raw.Close() })
	return nil
}

// ownLimit says whether this machine has run out of files, ports or buffers.
func ownLimit(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM:
		return true
	}
	return false
}

func (c *connection) close() {
	if c.conn == nil {
		return
	}
	c.unwatch()
	c.raw.Close()
	c.conn = nil
}

// meter counts what is read since a request, and ends a header that does not end.
type meter struct {
	io.Reader
	got  int
	left int // bytes that may still come; negative: any
}

func (m *meter) Read(b []byte) (int, error) {
	if m.left == 0 {
		return 0, errors.New("a header of more than 256 KiB")
	}
	if m.left > 0 {
		b = b[:min(len(b), m.left)]
	}
	n, err := m.Reader.Read(b)
	m.got += n
	if m.left > 0 {
		m.left -= n
	}
	return n, err
}

// plainError is the last cause of a network error in a few words: "connection refused".
func plainError(err error) string {
	var timeout interface{ Timeout() bool }
	var errno syscall.Errno
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return "certificate: " + cert.Err.Error()
	case errors.As(err, &dns):
		return "no address for " + dns.Name
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "closed without a whole answer"
	}
	return err.Error()
}
