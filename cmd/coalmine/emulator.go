package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"coalmine/scenarios"
	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

func (w world) emulatorCommand() *cobra.Command {
	var listen, scenario string
	var empty, exec bool
	c := &cobra.Command{
		Use:   "emulator",
		Short: "Serve the embedded API Gateway and Lambda, for AWS CLI, boto3 and SDKs",
		Long: `Serve an emulator of API Gateway and Lambda on loopback, until interrupted, with
the demonstration system up. Credentials are not checked:

  export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  aws apigateway get-rest-apis

With --exec it runs what is uploaded: a package's bootstrap is started as a process
of yours for each request at once. Whoever can reach the port can run programs.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var faults emulator.Faults
			if scenario != "" {
				s, err := scenarios.Open(scenario, true)
				if err != nil {
					return usage(err)
				}
				if s.Emulator != nil {
					faults = *s.Emulator
				}
			}
			server, err := emulator.StartWith(listen, faults, emulator.Options{Exec: exec})
			if err != nil {
				return usage(err)
			}
			defer server.Close()
			if !empty {
				if err := w.demonstrate(c.Context(), server.URL(), exec); err != nil {
					return err
				}
			}
			fmt.Fprintf(w.stderr, "listening on %s\n", server.URL())
			fmt.Fprintf(w.stdout, "export AWS_ENDPOINT_URL=%s\n", server.URL())
			<-c.Context().Done()
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:4566", "loopback address; port 0 for any free one")
	c.Flags().StringVar(&scenario, "scenario", "", "take the faults of this scenario (a built-in name or a file)")
	c.Flags().BoolVar(&exec, "exec", false, execHelp)
	c.Flags().BoolVar(&empty, "empty", false, "without the demonstration system")
	return c
}

// demonstrate builds the demonstration system and says where it answers.
func (w world) demonstrate(ctx context.Context, endpoint string, exec bool) error {
	client, err := stage.Connect(ctx, stage.Config{Endpoint: endpoint})
	if err != nil {
		return err
	}
	var o products.Options
	if exec {
		var note string
		if o, note, err = hostFunction(ctx); err != nil {
			return err
		}
		fmt.Fprintln(w.stderr, note)
	}
	system, _, err := products.UpWith(ctx, client, o)
	if err != nil {
		return err
	}
	showSystem(w, system)
	return nil
}

func showSystem(w world, s products.System) {
	fmt.Fprintf(w.stderr, "API %s (%s), function %s\n", s.API, s.Name, s.Function)
	for _, at := range s.Stages {
		fmt.Fprintf(w.stderr, "  stage %-8s alias %-8s version %-3s %s\n", at.Name, at.Alias, at.Version, at.URL)
	}
}
