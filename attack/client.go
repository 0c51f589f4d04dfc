package attack

import (
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
	tls        *tls.Config         // nil: plain
	transport  *http.Transport     // nil: connections of our own
	opened     func(time.Duration) // told how long it took to open a connection; nil: nobody is
	source     *source
	identified bool // each request has an id
	now        clock
	timeout    time.Duration
	timeouts   timeouts
	keep       int // bytes of a body
	dialer     dialer
	authority  string // of the URL
}

// newClient prepares a plan that is valid.
func newClient(ctx context.Context, p Plan) (*client, error) {
	source, err := newSource(ctx, p)
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(source.targets[0].URL) // all have one host
	if err != nil {
		return nil, err
	}
	c := &client{
		dialer:     newDialer(hostPort(to), p.ConnectTo),
		authority:  to.Host,
		source:     source,
		identified: p.RequestIDs,
		now:        clockSince(p.Epoch),
		timeout:    p.timeout(),
		keep:       classifiedBytes,
	}
	c.timeouts.now = c.now
	if len(p.Expect.JSON) > 0 {
		c.keep = keptBytes
	}
	if to.Scheme == "https" {
		c.tls = &tls.Config{ServerName: to.Hostname(), InsecureSkipVerify: p.Insecure, NextProtos: []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	}
	if p.viaNetHTTP() {
		c.transport = c.newTransport(p)
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
	status   int // 0: no answer
	body     []byte
	size     int64         // of the body, kept or not
	answered time.Duration // on the client's clock
	fresh    bool          // came on another connection than the one before
	resent   bool          // the request was sent a second time: its first connection turned out to be closed
	class    Class         // how it ended: Transport, Timeout, Truncated, or "" for a whole answer
	unsent   bool          // this machine could not open a connection: nothing came of the hit, and the target is not to blame
	err      error         // why
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
	requests requests
	request  *request // of the hit under way, or of the last one
	conn     net.Conn // nil: closed
	wire     *wire    // what it goes over; what is closed, because a farewell of TLS could block
	unwatch  func() bool
	fresh    bool
	begun    time.Duration // opening before the load
	answered time.Duration // the last hit, on the client's clock
	parser   parser
	reply    reply
	lookup   func(name string) []byte
	timer    timer
}

func (c *client) connection() *connection {
	conn := &connection{client: c, requests: c.source.connection()}
	conn.parser.keep = c.keep
	conn.lookup = conn.parser.value
	c.timeouts.add(&conn.timer)
	return conn
}

// requestID is what the last hit went by: what the answer says, where it says a UUID, else what was sent.
func (c *connection) requestID() RequestID {
	id := c.request.id
	id.parse(c.parser.value(idHeader))
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

// do sends the request of hit n and reads its answer to the end. It returns soon after ctx ends, and when the timeout
// has passed since sent.
func (c *connection) do(ctx context.Context, n uint64, sent time.Duration) *reply {
	c.request = c.requests(n)
	idle := time.Duration(0)
	if c.conn != nil {
		idle = sent - c.answered
	}
	if idle >= idleForReopen && !c.request.idempotent {
		c.close()
	}
	if c.transport != nil {
		c.viaNetHTTP(ctx, sent+c.timeout)
		c.reply.answered = c.now()
		return &c.reply
	}
	c.timeouts.begin(&c.timer, sent, c.timeout, c.conn != nil && idle <= hot)
	c.attempt(ctx, sent, idle)
	if c.reply.class == Transport && c.parser.got == 0 && idle >= idleForRetry && c.request.idempotent {
		c.close()
		c.attempt(ctx, sent, 0)
		c.reply.resent = true
	}
	if expired := c.timer.end(); expired {
		c.close() // it may end at any time
	}
	c.answered = c.now()
	c.reply.answered = c.answered
	return &c.reply
}

func (c *connection) attempt(ctx context.Context, sent, idle time.Duration) {
	c.reply = reply{}
	c.parser.begin()
	if c.conn == nil {
		if err := c.open(ctx, sent+c.timeout); err != nil {
			c.reply.fresh = true
			c.reply.unsent = ownLimit(err)
			c.reply.fail(err)
			return
		}
	}
	c.reply.fresh, c.fresh = c.fresh, false
	c.wire.eager = idle > hot
	if !c.exchange() {
		c.close()
	}
}

// hot is how soon after an answer a connection is not asked whether it was closed meanwhile before the answer to the next
// request is waited for. Nearly always it tells by itself; of a target that closed its own direction alone within this
// time, and took the request all the same, Go's poller may have told already. So it is asked if no answer comes soon.
const hot = time.Millisecond

// exchange says whether the connection can carry another request.
func (c *connection) exchange() (reusable bool) {
	p := &c.parser
	_, err := c.conn.Write(c.request.wire)
	if err == nil {
		err = p.answer(c.request.method) // a target may answer before it has read all, and close
	}
	c.reply.status, c.reply.body, c.reply.size = p.status, p.body(), p.size
	if err != nil {
		if p.status == 0 && c.wire.sendErr != nil {
			err = c.wire.sendErr
		}
		c.reply.fail(err)
		return false
	}
	// Bytes that nobody asked for would be taken for the next answer.
	return c.wire.sendErr == nil && !p.closing && p.status != http.StatusSwitchingProtocols && p.at == p.end
}

func (c *connection) open(ctx context.Context, deadline time.Duration) error {
	begun := c.now()
	dialing, cancel := context.WithTimeout(ctx, deadline-begun)
	defer cancel()
	raw, err := c.dialer.dial(dialing)
	if err != nil {
		return err
	}
	wire, err := newWire(raw)
	if err != nil {
		raw.Close()
		return err
	}
	conn := net.Conn(wire)
	if c.tls != nil {
		secure := tls.Client(wire, c.tls)
		if err := secure.HandshakeContext(dialing); err != nil {
			raw.Close()
			return err
		}
		conn = secure
	}
	c.conn, c.wire, c.fresh = conn, wire, true
	c.parser.from = conn
	wire.asked = c.timer.asked
	c.timer.watch(raw)
	c.unwatch = context.AfterFunc(ctx, func() { raw.Close() })
	if c.client.opened != nil {
		c.client.opened(c.now() - begun)
	}
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
	c.timer.watch(nil)
	c.wire.Close()
	c.conn, c.wire = nil, nil
}

// plainError is the last cause of a network error in a few words: "connection refused".
func plainError(err error) string {
	var timeout interface{ Timeout() bool }
	var errno syscall.Errno
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "proxy: " + plainError(op.Err)
	case op != nil && op.Op == "dial" && op.Net == "unix":
		return op.Addr.String() + ": " + plainError(op.Err)
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
