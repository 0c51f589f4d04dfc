package stage_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

func Example() {
	ctx := context.Background()
	e, err := emulator.Start("127.0.0.1:0", emulator.Faults{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	c, err := stage.Connect(ctx, stage.Config{Endpoint: e.URL()})
	if err != nil {
		log.Fatal(err)
	}
	system, _, err := products.Up(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ref := stage.Ref{API: system.API, Stage: "prod", Method: "GET", Path: "/products"}
	j, err := c.OpenJournal(dir, ref)
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
	if _, err := c.CreateCanary(ctx, j, ref, 50, map[string]string{"lambdaAlias": "staging"}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.DeployCanary(ctx, j, ref, "release 2"); err != nil {
		log.Fatal(err)
	}
	target, err := c.Resolve(ctx, ref)
	if err != nil {
		log.Fatal(err)
	}
	judged, err := c.Measure(ctx, ref)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%g of the traffic to version %s, the rest to version %s\n", target.Share, target.CanaryVersion, target.BaselineVersion)

	// Judged by traffic, and found fit: what was judged is what is promoted.
	change, err := c.Promote(ctx, j, ref, judged, false)
	if err != nil {
		log.Fatal(err)
	}
	for _, op := range change.Operations {
		fmt.Println(op.Op, op.Path)
	}
	if err := j.Done(false); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0.5 of the traffic to version 2, the rest to version 1
	// replace /canarySettings/percentTraffic
	// copy /variables
	// copy /deploymentId
	// remove /canarySettings
}
