//go:build unix

package attack

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// A wire is a connection of which whoever uses it writes first and reads then. What is written is held back, and goes
// out from within the next read: so that one call of Go's poller sends the request and waits for the answer. A read
// before the answer can be there, which is what net.Conn does, costs a system call in vain for every hit.
//
// One goroutine may use it, another may set deadlines and close it.
type wire struct {
	net.Conn
	raw     syscall.RawConn
	pending []byte
	held    []byte // pending is a part of
	eager   bool   // read at once after writing: the end may have come while nobody was looking
	sendErr error
	asked   func() bool // after a deadline has passed: read now, and wait again if there is nothing; nil: never

	buf     []byte // of the read under way
	n       int
	err     error
	partial bool
	step    func(fd uintptr) bool
}

// holdBack is how much may wait to be written. More goes out at once.
const holdBack = 64 << 10

func newWire(conn net.Conn) (*wire, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil, os.ErrInvalid
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, raw: raw}
	w.step = w.exchange
	return w, nil
}

func (w *wire) Write(b []byte) (int, error) {
	if len(w.pending)+len(b) > holdBack {
		if err := w.flush(); err != nil {
			return 0, err
		}
		return w.Conn.Write(b)
	}
	if len(w.pending) == 0 {
		w.held = w.held[:0]
	}
	w.held = append(w.held, b...)
	w.pending = w.held
	return len(b), nil
}

func (w *wire) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	_, err := w.Conn.Write(w.pending)
	w.pending = nil
	return err
}

// Read sends what is held back and reads. Where sending fails there may still be an answer: a target may answer before
// it has read all, and close.
func (w *wire) Read(b []byte) (int, error) {
	for w.buf = b; ; {
		err := w.raw.Read(w.step)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && w.asked != nil && w.asked():
		case err != nil:
			return 0, err
		case w.partial: // more than the socket takes at once
			w.partial = false
			if err := w.flush(); err != nil {
				w.sendErr = err
			}
		case w.err != nil:
			return 0, w.err
		case w.n == 0:
			return 0, io.EOF
		default:
			return w.n, nil
		}
	}
}

// exchange says whether it is done; if not it is called again when there is something to be read.
func (w *wire) exchange(fd uintptr) bool {
	if len(w.pending) > 0 {
		n, err := ignoringEINTR(writeSome, fd, w.pending)
		switch {
		case err == syscall.EAGAIN || err == nil && n < len(w.pending):
			w.pending = w.pending[max(n, 0):]
			w.partial = true
			return true
		case err != nil:
			w.sendErr, w.pending = os.NewSyscallError("write", err), nil
		default:
			w.pending = nil
			if !w.eager {
				return false
			}
		}
	}
	w.n, w.err = ignoringEINTR(readSome, fd, w.buf)
	if w.err == syscall.EAGAIN {
		return false
	}
	if w.err != nil {
		w.err = os.NewSyscallError("read", w.err)
	}
	return true
}

func ignoringEINTR(call func(uintptr, []byte) (int, error), fd uintptr, b []byte) (int, error) {
	for {
		if n, err := call(fd, b); err != syscall.EINTR {
			return n, err
		}
	}
}
