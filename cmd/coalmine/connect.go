package main

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"coalmine/attack"
)

// connect says how connections to a target are made.
type connect struct {
	resolve, unixSocket string
	http2               bool
	proxy               string
	warm                int
	to                  string // as check has read it
}

func (c *connect) flags(f *pflag.FlagSet) {
	f.StringVar(&c.resolve, "resolve", "", "`HOST:PORT:ADDRESS`: connect to this address in place of the URL's host; name and certificate stay the host's")
	f.StringVar(&c.unixSocket, "unix-socket", "", "connect to the socket at this `PATH` in place of the URL's host")
	f.BoolVar(&c.http2, "http2", false, "HTTP/2 and nothing else; a request costs several times as much, and stickiness is not looked for")
	f.StringVar(&c.proxy, "proxy", "", "`URL` of an HTTP proxy (default none, whatever the environment says)")
	f.IntVar(&c.warm, "warm", 0, "connections opened before the first request is due; -1 for none (default what 50 ms of requests need)")
}

// check reads where connections lead; target is the URL, empty where a control plane will say.
func (c *connect) check(target string) error {
	switch {
	case c.resolve != "" && c.unixSocket != "":
		return usagef("--resolve and --unix-socket: want one of them")
	case c.unixSocket != "":
		c.to = "unix:" + c.unixSocket
	case c.resolve != "":
		return c.checkResolve(target)
	}
	return nil
}

func (c *connect) checkResolve(target string) error {
	host, rest, _ := strings.Cut(c.resolve, ":")
	port, address, _ := strings.Cut(rest, ":")
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if host == "" || port == "" || err != nil {
		return usagef("--resolve: want HOST:PORT:ADDRESS like api.example.com:443:192.0.2.1, got %q", c.resolve)
	}
	if u, err := url.Parse(target); target != "" && (err != nil || !strings.EqualFold(u.Hostname(), host) || portOf(u) != port) {
		return usagef("--resolve: %s:%s is not the host and port of the URL", host, port)
	}
	c.to = netip.AddrPortFrom(ip, 0).Addr().String()
	if ip.Is6() {
		c.to = "[" + c.to + "]"
	}
	c.to += ":" + port
	return nil
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

func (c *connect) apply(plan *attack.Plan) {
	plan.ConnectTo, plan.HTTP2, plan.Proxy, plan.Warm = c.to, c.http2, c.proxy, c.warm
}

// stays reports whether load on the URL stays on this machine, wherever connections are made to lead.
func (c *connect) stays(to string) bool {
	if !loopback(to) || c.proxy != "" {
		return false
	}
	at, err := netip.ParseAddrPort(c.to)
	return err != nil || at.Addr().IsLoopback() // a socket, or nothing special
}
