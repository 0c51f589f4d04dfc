package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

const execHelp = "run real functions: the demonstration's is built from source with the Go toolchain and runs as local processes"

// hostFunction is the demonstration's function for an emulator that runs it, and a line that says so.
func hostFunction(ctx context.Context) (products.Options, string, error) {
	toolchain, err := products.Toolchain(ctx)
	if errors.Is(err, products.ErrNoToolchain) {
		err = usagef("--exec: %w", err)
	}
	if err != nil {
		return products.Options{}, "", err
	}
	return products.FromSource(runtime.GOOS, runtime.GOARCH), fmt.Sprintf("real functions run, as local processes: %s, built from scenarios/products/function with %s for %s/%s",
		products.Function, toolchain, runtime.GOOS, runtime.GOARCH), nil
}

// packages are what a control plane is sent: the real function for Lambda's own machines, unless it is an emulator on this
// one, which runs functions only if it was asked to.
func packages(ctx context.Context, client *stage.Client, exec bool) (products.Options, error) {
	switch {
	case !client.Loopback():
		return products.FromSource("linux", "arm64"), nil
	case exec:
		o, _, err := hostFunction(ctx)
		return o, err
	}
	return products.Options{}, nil
}
