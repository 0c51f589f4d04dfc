package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

func (w world) stackCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "stack",
		Short: "Build or remove the demonstration system on AWS_ENDPOINT_URL",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use:   "up",
			Short: "Build what is missing: function, versions, aliases, permissions, API, stages",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				client, err := w.stackClient(c)
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
				client, err := w.stackClient(c)
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

func (w world) stackClient(c *cobra.Command) (*stage.Client, error) {
	if w.env("AWS_ENDPOINT_URL") == "" {
		return nil, usagef("AWS_ENDPOINT_URL is not set: the demonstration system is built on a loopback endpoint only, for now (see: coalmine emulator --empty)")
	}
	client, err := w.connect(c.Context(), "", "")
	if err == nil {
		err = mayAct(client)
	}
	return client, err
}
