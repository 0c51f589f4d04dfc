package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"coalmine/analyze"
	"coalmine/scenarios"
	"coalmine/scenarios/stage"
)

// The exit codes. They are the product's interface to pipelines: never 0 without evidence.
const (
	exitPromote      = 0
	exitBroken       = 1
	exitUsage        = 2
	exitReject       = 10
	exitInconclusive = 11
	exitVoid         = 12
	exitAfter        = 13
	exitInterrupted  = 130
)

var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitPromote, "PROMOTE: every check passed on enough evidence, and what was asked was done; VERIFIED"},
	{exitBroken, "the tool or its surroundings broke"},
	{exitUsage, "usage, configuration or preflight: nothing was sent but a probe of at most 50 requests a stage"},
	{exitReject, "REJECT: at least one check failed; REFUTED"},
	{exitInconclusive, "INCONCLUSIVE: not enough evidence by the deadline"},
	{exitVoid, "INCONCLUSIVE: the measurement is void, or the baseline out of bounds"},
	{exitAfter, "promoted, and the after phase did not confirm it"},
	{exitInterrupted, "interrupted"},
}

func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.meaning)
	}
	return b.String()
}

// exit is an error that carries its code. Without a message the code says everything.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// told is an error that the run's last line has said already.
type told struct{ error }

func (t told) Unwrap() error { return t.error }

// usage marks what repeating the command unchanged cannot help.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return exit{exitUsage, err}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// code is the exit code of what a command returned.
func code(ctx context.Context, err error) int {
	var e exit
	var preflight scenarios.Preflight
	var touched stage.Touched
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &preflight):
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &touched): // whatever else it is: something may have changed
		return exitBroken
	case errors.Is(err, stage.ErrCanaryExists), errors.Is(err, stage.ErrNoCanary),
		errors.Is(err, stage.ErrUnfinished), errors.Is(err, stage.ErrCredentials):
		return exitUsage
	}
	return exitBroken
}

// verdictCode is the exit code of a run that could do its work.
func verdictCode(a analyze.Analysis) int {
	for _, e := range a.Events { // a promote that was taken back is still a failed promote
		if e.Name == analyze.PromoteEnd && a.Conclusion.Verdict == analyze.Promote && a.After != analyze.Pass {
			return exitAfter
		}
	}
	return conclusionCode(a.Conclusion)
}

func conclusionCode(c analyze.Conclusion) int {
	switch {
	case c.Verdict == analyze.Promote, c.Verdict == analyze.Verified:
		return exitPromote
	case c.Verdict == analyze.Reject, c.Verdict == analyze.Refuted:
		return exitReject
	case len(c.Void) > 0:
		return exitVoid
	}
	return exitInconclusive
}
