package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// run is the whole program: main with its world named.
func run(ctx context.Context, args []string, w world) int {
	root := w.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") {
		err = usage(errors.New(strings.SplitN(err.Error(), "\n", 2)[0] + ` (see "coalmine --help")`))
	}
	var silent exit
	if err != nil && !(errors.As(err, &silent) && silent.err == nil) && !errors.As(err, new(told)) {
		said, example := oneLine(err)
		fmt.Fprint(w.stderr, example)
		fmt.Fprintln(w.stderr, "coalmine: "+said)
	}
	return code(ctx, err)
}

// root has all commands.
func (w world) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "coalmine",
		Short: "Judge API Gateway canaries by traffic, and gate their promotion",
		Long: `Coalmine hammers a stage before, during and after a canary, tells which version
answered each request, checks split, errors and latency with statistics that may
be looked at all the time, and promotes or rolls back on the verdict.

Without an AWS target it runs against an emulator of API Gateway and Lambda on
loopback: "coalmine run" shows the whole story.

` + exitHelp(),
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetIn(w.stdin)
	root.SetOut(w.stdout)
	root.SetErr(w.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddCommand(w.runCommand(), w.gateCommand(), w.verifyCommand(), w.planCommand(), w.attackCommand(), w.capacityCommand(), w.reportCommand(), w.canaryCommand(), w.stackCommand(), w.emulatorCommand())
	for _, command := range root.Commands() {
		strictArgs(command)
	}
	return root
}

// strictArgs makes wrong arguments a usage error, here and below.
func strictArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error { return usage(check(c, args)) }
	}
	for _, child := range c.Commands() {
		strictArgs(child)
	}
}

// oneLine joins what several errors say; what follows an empty line is an example, which goes before it: the last line
// is one, and says what is wrong.
func oneLine(err error) (said, example string) {
	said, example, found := strings.Cut(err.Error(), "\n\n")
	if found {
		example = strings.TrimRight(example, "\n") + "\n\n"
	}
	return strings.ReplaceAll(said, "\n", "; "), example
}
