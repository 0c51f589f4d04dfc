// Command coalmine judges API Gateway canaries by traffic. See README.md.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the release build.
var version = "dev"

// world is what a command may touch.
type world struct {
	env            func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() { os.Exit(process()) }

// process runs the program in the world it was started in. Whatever takes the terminal or a pipe away must not keep
// run from removing its canary: a hangup is an interrupt, and a broken pipe is no signal.
func process() int {
	signal.Ignore(syscall.SIGPIPE)
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup wants it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	return run(ctx, os.Args[1:], world{os.Getenv, os.Stdin, pipe{os.Stdout}, os.Stderr})
}

// pipe is a writer whose reader may stop reading, as head does: that is no error.
type pipe struct{ io.Writer }

func (p pipe) Write(data []byte) (int, error) {
	n, err := p.Writer.Write(data)
	if errors.Is(err, syscall.EPIPE) {
		return len(data), nil
	}
	return n, err
}
