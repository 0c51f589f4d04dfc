package attack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A dialer opens the connections of a client: to all addresses of a name in turn, so that every one of a target's front
// ends gets its part, and asks for them again now and then, so that those that are gone are forgotten.
type dialer struct {
	net.Dialer
	network string // tcp or unix
	host    string // or the socket's path
	port    string
	lookup  func(ctx context.Context, host string) ([]string, error)

	mu        sync.Mutex
	found     []string // of the host
	addresses []string // of these, without those that failed, unless all did
	failed    bool     // all did
	asked     time.Time
	next      int
}

const (
	lookupEvery = 30 * time.Second
	lookupAgain = time.Second     // where none of the addresses could be reached
	perAddress  = 2 * time.Second // for one that is not the last
)

// newDialer leads to host and port, or to what stands in their place: "ADDRESS:PORT", "unix:PATH".
func newDialer(hostPort, instead string) dialer {
	if path, unix := strings.CutPrefix(instead, "unix:"); unix {
		return dialer{network: "unix", host: path}
	}
	if instead != "" {
		hostPort = instead
	}
	host, port, _ := net.SplitHostPort(hostPort)
	if strings.HasSuffix(strings.ToLower(host), ".localhost") { // this machine, and no resolver needs to know it (RFC 6761, 6.3)
		host = "localhost"
	}
	return dialer{network: "tcp", host: host, port: port, lookup: net.DefaultResolver.LookupHost}
}

// validConnectTo is of Plan.ConnectTo.
func validConnectTo(to string) bool {
	if path, unix := strings.CutPrefix(to, "unix:"); unix {
		return path != ""
	}
	_, err := netip.ParseAddrPort(to)
	return to == "" || err == nil
}

func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	if d.network == "unix" {
		return d.DialContext(ctx, d.network, d.host)
	}
	addresses, err := d.inTurn(ctx)
	for i, address := range addresses {
		var conn net.Conn
		if conn, err = d.try(ctx, address, len(addresses)-i); err == nil {
			return conn, nil
		}
		if ctx.Err() != nil || ownLimit(err) {
			break
		}
		d.forget(address)
	}
	return nil, err
}

// try leaves time for the others.
func (d *dialer) try(ctx context.Context, address string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(perAddress, time.Until(deadline)/time.Duration(left)))
		defer cancel()
	}
	return d.DialContext(ctx, d.network, net.JoinHostPort(address, d.port))
}

// inTurn are all addresses, beginning with the next one.
func (d *dialer) inTurn(ctx context.Context) ([]string, error) {
	if _, err := netip.ParseAddr(d.host); err == nil {
		return []string{d.host}, nil
	}
	d.mu.Lock()
	known := len(d.addresses) > 0
	stale := time.Since(d.asked) >= lookupEvery || d.failed && time.Since(d.asked) >= lookupAgain
	if stale {
		d.asked = time.Now() // one asks, the others use what is known
	}
	d.mu.Unlock()
	if stale || !known {
		found, err := d.lookup(ctx, d.host)
		d.mu.Lock()
		if err == nil && len(found) > 0 {
			d.found, d.addresses, d.failed, d.asked = found, found, false, time.Now()
		} else if !known {
			d.mu.Unlock()
			if err == nil {
				err = errors.New("no address for " + d.host)
			}
			return nil, err
		}
		d.mu.Unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	first := d.next % len(d.addresses)
	d.next++
	return slices.Concat(d.addresses[first:], d.addresses[:first]), nil
}

func (d *dialer) forget(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.addresses = slices.DeleteFunc(slices.Clone(d.addresses), func(a string) bool { return a == address }); len(d.addresses) == 0 {
		d.addresses, d.failed = d.found, true
	}
}
