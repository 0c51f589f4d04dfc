package main

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/pflag"

	"coalmine/scenarios"
	"coalmine/scenarios/stage"
)

// cloud says which control plane is spoken to, and whose it has to be.
type cloud struct{ region, profile, account string }

func (a *cloud) flags(f *pflag.FlagSet) {
	f.StringVar(&a.region, "region", "", "AWS region (default: as the AWS CLI finds it)")
	f.StringVar(&a.profile, "profile", "", "AWS profile (default: as the AWS CLI finds it)")
	f.Var((*accountFlag)(&a.account), "expect-account", "`ID` of the AWS account that the credentials must belong to")
}

// named reports whether somebody asked for a control plane, and not for the embedded one.
func (a *cloud) named(w world) bool { return *a != cloud{} || w.env("AWS_ENDPOINT_URL") != "" }

// accountFlag is an account that is named: an empty one, of a variable that is not set, would let every account pass.
type accountFlag string

func (a *accountFlag) String() string { return string(*a) }
func (a *accountFlag) Type() string   { return "ID" }
func (a *accountFlag) Set(s string) error {
	if !accountID.MatchString(s) {
		return fmt.Errorf("want an account's 12 digits, got %q", s)
	}
	*a = accountFlag(s)
	return nil
}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// connect reaches the control plane, and refuses one that is somebody else's. A region or a profile that AWS was not even
// asked for is the caller's to name.
func (w world) connect(ctx context.Context, a cloud) (*stage.Client, error) {
	client, err := stage.Connect(ctx, stage.Config{Endpoint: w.env("AWS_ENDPOINT_URL"), Region: a.region, Profile: a.profile})
	if err != nil {
		return nil, scenarios.Misnamed(err)
	}
	if got := client.Account(); a.account != "" && got != a.account {
		return nil, usagef("--expect-account %s: the credentials belong to account %s: nothing is read or changed there", a.account, got)
	}
	return client, nil
}

// connectOwn is connect for what builds up and tears down: on AWS itself the account has to be named.
func (w world) connectOwn(ctx context.Context, a cloud) (*stage.Client, error) {
	client, err := w.connect(ctx, a)
	if err == nil && client.Real() && a.account == "" {
		return nil, usagef("this is AWS account %s, %s: want --expect-account %[1]s if it is the one to be changed", client.Account(), client.Region())
	}
	return client, err
}
