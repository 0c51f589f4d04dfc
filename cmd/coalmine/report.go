package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coalmine/analyze"
	"coalmine/report"
)

func (w world) reportCommand() *cobra.Command {
	var format, policy string
	c := &cobra.Command{
		Use:   "report FILE",
		Short: "Show a run again from its run file, or judge it by another policy",
		Long: `Show a run again from its run file. With --policy the recorded windows are judged
anew, look by look: the verdict that policy would have given, and its exit code.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one run file, got %d", len(args))
			}
			return nil
		},
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
			var another func(analyze.Header) (analyze.Policy, error)
			if policy != "" {
				another = func(h analyze.Header) (analyze.Policy, error) {
					data, err := os.ReadFile(policy)
					if err != nil {
						return analyze.Policy{}, fmt.Errorf("--policy: %w", err)
					}
					return analyze.ReadPolicy(policy, data, analyze.DefaultPolicy(loopback(h.Target.URL)))
				}
			}
			analysis, _, err := analyze.Rejudge(file, another)
			if err != nil {
				return usagef("%s: %w", args[0], err)
			}
			if err := show(w.stdout, analysis); err != nil {
				return err
			}
			if analysis.Header.Policy != nil {
				fmt.Fprintln(w.stderr, report.Line(analysis))
			}
			if code := conclusionCode(analysis.Conclusion); policy != "" && code != exitPromote {
				return exit{code: code}
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or json")
	c.Flags().StringVar(&policy, "policy", "", "judge the recorded windows by this policy file; the exit code is the new verdict's")
	return c
}
