package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// drain writes to a file that may be a pipe. A reader that holds one open and stops reading would be waited for without
// an end, and an interrupt not heard meanwhile: where somebody waits for the writing, it may pause, and no longer.
type drain struct {
	file interface {
		io.WriteCloser
		SetWriteDeadline(time.Time) error // an error where there is none, as of a regular file
	}
	pause time.Duration // the reader may make
	urged atomic.Bool
}

const (
	usualPause = 5 * time.Second
	pipePart   = 4096 // PIPE_BUF: so much goes into a pipe as a whole or not at all
)

func (d *drain) Write(data []byte) (n int, err error) {
	for n < len(data) && err == nil {
		if d.urged.Load() {
			d.limit()
		}
		var part int
		part, err = d.file.Write(data[n:min(n+pipePart, len(data))])
		n += part
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("its reader read nothing for %s", d.pause)
	}
	return n, err
}

// urge says that from now on somebody waits, also for what is being written.
func (d *drain) urge() {
	d.urged.Store(true)
	d.limit()
}

func (d *drain) limit() { d.file.SetWriteDeadline(time.Now().Add(d.pause)) }

func (d *drain) Close() error { return d.file.Close() }
