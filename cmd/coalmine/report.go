package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coalmine/analyze"
	"coalmine/report"
)

func (w world) reportCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "report FILE",
		Short: "Show a run again from its run file",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			show, err := report.Named(format)
			if err != nil {
				return usagef("--format: %w", err)
			}
			file, err := os.Open(args[0])
			if err != nil {
				return usage(err)
			}
			defer file.Close()
			analysis, _, err := analyze.Replay(file)
			if err != nil {
				return usagef("%s: %w", args[0], err)
			}
			if err := show(w.stdout, analysis); err != nil {
				return err
			}
			if analysis.Header.Policy != nil {
				fmt.Fprintln(w.stderr, report.Line(analysis))
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}
