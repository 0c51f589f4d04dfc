package stage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
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
	alias := Alias{Function: function, Name: name, Version: text(out.FunctionVersion), Revision: text(out.RevisionId)}
	if out.RoutingConfig != nil && len(out.RoutingConfig.AdditionalVersionWeights) > 0 {
		alias.Weights = out.RoutingConfig.AdditionalVersionWeights
	}
	return alias, nil
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
		s += ", " + percent(a.Weights[version]*100) + "% to version " + version
	}
	return s
}

// Differs lists, for a person, how the alias differs from an earlier reading. An empty Revision on either side is not
// compared.
func (a Alias) Differs(from Alias) []string {
	what := fmt.Sprintf("alias %s of %s: ", a.Name, a.Function)
	switch {
	case !a.points(from):
		return []string{what + from.String() + " -> " + a.String()}
	case a.Revision != from.Revision && a.Revision != "" && from.Revision != "":
		return []string{what + "edited meanwhile, and leads to " + a.String() + " again"}
	}
	return nil
}

func joined(differences []string) string { return strings.Join(differences, "; ") }
