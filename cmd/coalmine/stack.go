package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

func (w world) stackCommand() *cobra.Command {
	var a cloud
	c := &cobra.Command{
		Use:   "stack",
		Short: "Build or remove the demonstration system on AWS_ENDPOINT_URL, or AWS",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	a.flags(c.PersistentFlags())
	c.AddCommand(
		&cobra.Command{
			Use:   "up",
			Short: "Build what is missing: function, versions, aliases, permissions, API, stages",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				client, err := w.stackClient(c.Context(), a)
				if err != nil {
					return err
				}
				system, said, err := products.Up(c.Context(), client)
				for _, line := range said {
					fmt.Fprintln(w.stdout, line)
				}
				if err == nil {
					showSystem(w, system)
				}
				return err
			},
		},
		&cobra.Command{
			Use:   "down",
			Short: "Remove what up built, and nothing else",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				client, err := w.stackClient(c.Context(), a)
				if err != nil {
					return err
				}
				removed, err := products.Down(c.Context(), client)
				for _, line := range removed {
					fmt.Fprintln(w.stdout, line)
				}
				return err
			},
		})
	return c
}

func (w world) stackClient(ctx context.Context, a cloud) (*stage.Client, error) {
	if !a.named(w) {
		return nil, usagef("which control plane? want AWS_ENDPOINT_URL (see: coalmine emulator --empty), or --expect-account with the AWS account to build in")
	}
	return w.connectOwn(ctx, a)
}
