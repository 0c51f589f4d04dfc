package stage

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Alias is a Lambda alias as it was read.
type Alias struct {
	Function string             `json:"function"`
	Name     string             `json:"name"`
	Version  string             `json:"version"`
	Weights  map[string]float64 `json:"weights,omitempty"`  // additional version -> share, 0 to 1; nil: none
	Revision string             `json:"revision,omitempty"` // AWS's RevisionId: compare-and-set
}

// ReadAlias reads an alias.
func (c *Client) ReadAlias(ctx context.Context, function, name string) (Alias, error) {
	alias, err := c.readAlias(ctx, function, name)
	if err != nil {
		return alias, fmt.Errorf("read alias %s of %s: %w", name, function, err)
	}
	return alias, nil
}

func (c *Client) readAlias(ctx context.Context, function, name string) (Alias, error) {
	out, err := c.lambda.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &function, Name: &name})
	if err != nil {
		return Alias{Function: function, Name: name}, condense(err)
	}
	return aliasFrom(function, name, out.FunctionVersion, out.RoutingConfig, out.RevisionId), nil
}

func aliasFrom(function, name string, version *string, routing *types.AliasRoutingConfiguration, revision *string) Alias {
	alias := Alias{Function: function, Name: name, Version: text(version), Revision: text(revision)}
	if routing != nil && len(routing.AdditionalVersionWeights) > 0 {
		alias.Weights = routing.AdditionalVersionWeights
	}
	return alias
}

// key tells aliases apart.
func (a Alias) key() string { return a.Function + ":" + a.Name }

// points reports whether the alias leads where another reading of it did.
func (a Alias) points(to Alias) bool {
	return a.Version == to.Version && maps.Equal(a.Weights, to.Weights)
}

// String says where the alias leads: "version 1, 10.0% to version 2".
func (a Alias) String() string {
	s := "version " + a.Version
	for _, version := range slices.Sorted(maps.Keys(a.Weights)) {
		s += ", " + percent(math.Round(a.Weights[version]*1e8)/1e6) + "% to version " + version
	}
	return s
}

// routes is points, as far as traffic goes: a weight of zero is none, and the last digit of a weight may be rounded.
func (a Alias) routes(to Alias) bool {
	if a.Version != to.Version {
		return false
	}
	for _, weights := range []map[string]float64{a.Weights, to.Weights} {
		for version := range weights {
			if math.Abs(a.Weights[version]-to.Weights[version]) > 1e-6 {
				return false
			}
		}
	}
	return true
}

// canary is the version that gets some of the traffic, and its share, 0 to 1; "" when there is none.
func (a Alias) canary() (version string, share float64) {
	for version, share := range a.Weights { // AWS allows one
		return version, share
	}
	return "", 0
}

// Differs lists, for a person, how the alias differs from an earlier reading. An empty Revision on either side is not
// compared.
func (a Alias) Differs(from Alias) []string {
	if !a.points(from) {
		return a.pointing(from)
	}
	if a.Revision != from.Revision && a.Revision != "" && from.Revision != "" {
		return []string{fmt.Sprintf("alias %s of %s: edited meanwhile, and leads to %s again", a.Name, a.Function, a)}
	}
	return nil
}

func (a Alias) pointing(from Alias) []string {
	return []string{fmt.Sprintf("alias %s of %s: %s -> %s", a.Name, a.Function, from, a)}
}

// Move points an alias elsewhere.
type Move struct {
	Was Alias `json:"was"`
	To  Alias `json:"to"` // without a revision: each move makes a new one
}

func moving(was, to Alias) *Move {
	to.Function, to.Name, to.Revision = was.Function, was.Name, ""
	return &Move{Was: was, To: to}
}

// input is the request; an empty map of weights is what takes them away.
func (m Move) input() *lambda.UpdateAliasInput {
	weights := m.To.Weights
	if weights == nil {
		weights = map[string]float64{}
	}
	in := &lambda.UpdateAliasInput{
		FunctionName: &m.Was.Function, Name: &m.Was.Name, FunctionVersion: &m.To.Version,
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights},
	}
	if m.Was.Revision != "" {
		in.RevisionId = &m.Was.Revision
	}
	return in
}

// byHand is the AWS CLI's command that makes an alias lead there.
func (a Alias) byHand() string {
	var weights []string
	for _, version := range slices.Sorted(maps.Keys(a.Weights)) {
		weights = append(weights, fmt.Sprintf("%s=%v", version, a.Weights[version]))
	}
	return fmt.Sprintf("aws lambda update-alias --function-name %s --name %s --function-version %s --routing-config 'AdditionalVersionWeights={%s}'",
		a.Function, a.Name, a.Version, strings.Join(weights, ","))
}

// netMoves is where each alias went from the first move to the last, in the order of the first.
func netMoves(all []Move) []Move {
	var out []Move
	for _, m := range all {
		i := slices.IndexFunc(out, func(o Move) bool { return o.Was.key() == m.Was.key() })
		if i < 0 {
			out = append(out, m)
		} else {
			out[i].To = m.To
		}
	}
	return slices.DeleteFunc(out, func(m Move) bool { return m.Was.points(m.To) })
}

func joined(differences []string) string { return strings.Join(differences, "; ") }
