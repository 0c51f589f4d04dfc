package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"coalmine/attack"
)

// commandTimeout is how long a command may take to print a header's value.
const commandTimeout = 30 * time.Second

// headerCommand is a header whose value a command prints.
type headerCommand struct {
	name string
	args []string
}

// parseHeaderCommand reads NAME=COMMAND. The command's words are what blanks separate: there is no shell, so nothing is
// quoted or expanded. What needs that is a script's to do.
func parseHeaderCommand(s string) (headerCommand, error) {
	name, command, both := strings.Cut(s, "=")
	args := strings.Fields(command)
	if name = strings.TrimSpace(name); !both || name == "" || len(args) == 0 {
		return headerCommand{}, errors.New("want NAME=COMMAND, as in Authorization=./token.sh")
	}
	return headerCommand{name, args}, nil
}

// value runs the command. What it says on standard error is for a person; what it prints is a secret, and in no message.
func (c headerCommand) value(ctx context.Context, timeout time.Duration) (value, said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.WaitDelay = time.Second // a child of the command may hold its output open
	grouped(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); errors.Is(err, exec.ErrWaitDelay) {
		killGroup(cmd)
	}
	said, _, _ = strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	value = strings.TrimSpace(stdout.String())
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return "", said, fmt.Errorf("no value within %s", timeout)
	case err != nil:
		return "", said, err
	case value == "" || strings.ContainsAny(value, "\r\n"):
		return "", said, errors.New("printed no value, or more than a line: want one line")
	}
	return value, said, nil
}

// runCommands runs every command once, and then anew as often as asked, in the background: one that fails later leaves its
// header as it was, and says so.
func (q *requests) runCommands(ctx context.Context, live *attack.Live) error {
	timeout := q.timeoutOfCommand
	if timeout == 0 {
		timeout = commandTimeout
	}
	for _, c := range q.commands {
		value, said, err := c.value(ctx, timeout)
		if ctx.Err() != nil {
			return exit{code: exitInterrupted}
		}
		if err == nil {
			err = live.Set(c.name, value)
		}
		if err != nil {
			if said != "" {
				err = fmt.Errorf("%w: %s", err, said)
			}
			return usagef("--header-command %s=%s: %w", c.name, c.args[0], err)
		}
	}
	if len(q.commands) == 0 || q.refresh == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	q.stopCommands = func() {
		cancel()
		running.Wait() // or what runs would be left behind
	}
	for _, c := range q.commands {
		running.Go(func() {
			ticks := time.NewTicker(q.refresh)
			defer ticks.Stop()
			for {
				select {
				case <-ticks.C:
				case <-ctx.Done():
					return
				}
				value, _, err := c.value(ctx, timeout)
				if err == nil {
					err = live.Set(c.name, value)
				}
				if err != nil && ctx.Err() == nil {
					live.Trouble(fmt.Sprintf("--header-command %s=%s: %s: the old value is sent on", c.name, c.args[0], err))
				}
			}
		})
	}
	return nil
}
