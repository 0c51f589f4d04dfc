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
		w.stackUp(&a),
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
				if err == nil && len(removed) == 0 {
					fmt.Fprintln(w.stdout, "nothing to remove: there is no demonstration system here")
				}
				return err
			},
		})
	return c
}

func (w world) stackUp(a *cloud) *cobra.Command {
	var exec bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Build what is missing: role, function, versions, aliases, permissions, API, stages",
		Long: `Build what is missing of the demonstration system: role, function, versions,
aliases, permissions, API and stages, all tagged.

The function is built from the source in this program with the Go toolchain, for
linux/arm64. An emulator on loopback gets placeholders, for it runs nothing it is
sent, unless --exec says that it does: then the function is built for this machine.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := w.stackClient(c.Context(), *a)
			if err != nil {
				return err
			}
			o, err := packages(c.Context(), client, exec)
			if err != nil {
				return err
			}
			system, said, err := products.UpWith(c.Context(), client, o)
			for _, line := range said {
				fmt.Fprintln(w.stdout, line)
			}
			if err == nil {
				showSystem(w, system)
			}
			return err
		},
	}
	c.Flags().BoolVar(&exec, "exec", false, "the emulator runs functions: upload the real one")
	return c
}

func (w world) stackClient(ctx context.Context, a cloud) (*stage.Client, error) {
	if !a.named(w) {
		return nil, usagef("which control plane? want AWS_ENDPOINT_URL (see: coalmine emulator --empty), or --expect-account with the AWS account to build in")
	}
	client, err := w.connectOwn(ctx, a)
	if err == nil {
		fmt.Fprintln(w.stderr, client.Where(stage.Ref{}))
	}
	return client, err
}
