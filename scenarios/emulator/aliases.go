package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// aliasConfiguration is an alias on the wire; RoutingConfig is left out when it routes nothing.
type aliasConfiguration struct {
	AliasArn        string
	Name            string
	FunctionVersion string
	Description     string
	RoutingConfig   *routing `json:",omitempty"`
	RevisionId      string
}

type routing struct {
	AdditionalVersionWeights map[string]decimal
}

func (a aliasConfiguration) weights() map[string]decimal {
	if a.RoutingConfig == nil {
		return nil
	}
	return a.RoutingConfig.AdditionalVersionWeights
}

type aliasRequest struct {
	Name            string
	FunctionVersion string
	Description     *string
	RoutingConfig   *routing
	RevisionId      string
}

func (c *control) createAlias(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	var want aliasRequest
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if !isName(want.Name) || isNumber(want.Name) || len(want.Name) > 128 {
		return answer{}, invalid(want.Name, "name", "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)")
	}
	arn := f.arn + ":" + want.Name
	if _, found := f.aliases[want.Name]; found {
		return answer{}, lambdaRefusal(http.StatusConflict, "ResourceConflictException", "Alias already exists: %s", arn)
	}
	a := aliasConfiguration{AliasArn: arn, Name: want.Name}
	if a, err = f.change(a, want); err != nil {
		return answer{}, err
	}
	return created(c.storeAlias(f, a))
}

func (c *control) updateAlias(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	var want aliasRequest
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	name := in.path("alias")
	a, found := f.aliases[name]
	if !found {
		return answer{}, missing("Alias not found: %s:%s", f.arn, name)
	}
	if want.RevisionId != "" && want.RevisionId != a.RevisionId {
		return answer{}, stale("GetFunction/GetAlias")
	}
	if a, err = f.change(a, want); err != nil {
		return answer{}, err
	}
	return ok(c.storeAlias(f, a))
}

// change leaves what the request does not name; an empty weight map takes the routing away.
func (f *function) change(a aliasConfiguration, want aliasRequest) (aliasConfiguration, error) {
	if want.FunctionVersion != "" || a.FunctionVersion == "" {
		a.FunctionVersion = want.FunctionVersion
	}
	if want.Description != nil {
		a.Description = *want.Description
	}
	if want.RoutingConfig != nil {
		a.RoutingConfig = want.RoutingConfig
		if len(want.RoutingConfig.AdditionalVersionWeights) == 0 {
			a.RoutingConfig = nil
		}
	}
	if !isVersion(a.FunctionVersion) {
		return a, invalid(a.FunctionVersion, "functionVersion", `Member must satisfy regular expression pattern: (\$LATEST|[0-9]+)`)
	}
	if f.version(a.FunctionVersion) == nil {
		return a, missing("Function not found: %s:%s", f.arn, a.FunctionVersion)
	}
	return a, f.validateRouting(a)
}

func (f *function) validateRouting(a aliasConfiguration) error {
	if len(a.weights()) > 1 {
		return invalidParameter("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	for number, weight := range a.weights() {
		value := fmt.Sprintf("{%s=%v}", number, float64(weight))
		const at = "routingConfig.additionalVersionWeights"
		switch {
		case !isNumber(number):
			return invalid(value, at, "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]")
		case !(weight >= 0 && weight <= 1):
			return invalid(value, at, "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]")
		case number == a.FunctionVersion:
			return invalidParameter("Invalid function version %s. Function version %s is already included in routing configuration.", number, number)
		case a.FunctionVersion == latest:
			return invalidParameter("$LATEST is not supported for an alias pointing to more than 1 version")
		case f.version(number) == nil:
			return missing("Function not found: %s:%s", f.arn, number)
		}
	}
	return nil
}

func (c *control) storeAlias(f *function, a aliasConfiguration) aliasConfiguration {
	a.RevisionId = newRevision()
	before := f.aliases[a.Name]
	f.aliases[a.Name] = a
	c.follow(f, before, a)
	c.publishFunctions()
	return a
}

func (c *control) getAlias(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	a, found := f.aliases[in.path("alias")]
	if !found {
		return answer{}, missing("Cannot find alias arn: %s:%s", f.arn, in.path("alias"))
	}
	return ok(a)
}

func (c *control) listAliases(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	all := []aliasConfiguration{}
	for _, name := range slices.Sorted(maps.Keys(f.aliases)) {
		a := f.aliases[name]
		only := in.query.Get("FunctionVersion")
		if only == "" || a.FunctionVersion == only || a.weights()[only] > 0 {
			all = append(all, a)
		}
	}
	return listed("Aliases", all, in)
}

// deleteAlias says yes to an alias that is not there.
func (c *control) deleteAlias(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	delete(f.aliases, in.path("alias"))
	delete(f.policies, in.path("alias"))
	delete(f.provisioned, in.path("alias"))
	c.publishFunctions()
	return noContent()
}
