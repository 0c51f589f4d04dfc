//go:build !unix

package attack

import (
	"errors"
	"net"
	"os"
)

// A wire is a connection of which whoever uses it writes first and reads then. Where a target answers before it has
// read all, and closes, the answer counts: a failure to send is kept until there is none.
type wire struct {
	net.Conn
	eager   bool
	sendErr error
	asked   func() bool // after a deadline has passed: read again; nil: never
}

func newWire(conn net.Conn) (*wire, error) { return &wire{Conn: conn}, nil }

func (w *wire) Write(b []byte) (int, error) {
	if _, err := w.Conn.Write(b); err != nil {
		w.sendErr = err
	}
	return len(b), nil
}

func (w *wire) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || w.asked == nil || !w.asked() {
			return n, err
		}
	}
}
