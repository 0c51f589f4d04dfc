package emulator

import (
	"maps"
	"net/http"
	"strings"
)

// Tags of API Gateway sit on APIs and on stages. The control plane hands out the map, which is nil where there are none.

func (c *control) getTags(in *call) (answer, error) {
	tags, _, err := c.tagged(in)
	if err != nil {
		return answer{}, err
	}
	if tags == nil {
		tags = map[string]string{}
	}
	return ok(map[string]any{"tags": tags})
}

func (c *control) tagResource(in *call) (answer, error) {
	tags, set, err := c.tagged(in)
	if err != nil {
		return answer{}, err
	}
	var want struct{ Tags map[string]string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if err := c.allowTags(want.Tags); err != nil {
		return answer{}, err
	}
	set(with(tags, want.Tags))
	return noContent()
}

// allowTags keeps aws: for AWS's own services.
func (c *control) allowTags(tags map[string]string) error {
	for key := range tags {
		if strings.HasPrefix(strings.ToLower(key), "aws:") && !c.plane.faults.Load().Control.AWSTags {
			return badRequest("aws: prefixed tag key names are not allowed for external use.")
		}
	}
	return nil
}

func (c *control) untagResource(in *call) (answer, error) {
	tags, set, err := c.tagged(in)
	if err != nil {
		return answer{}, err
	}
	set(without(tags, in.query["tagKeys"]))
	return noContent()
}

// tagged finds what arn:aws:apigateway:{region}::/restapis/{id}[/stages/{name}] names.
func (c *control) tagged(in *call) (tags map[string]string, set func(map[string]string), err error) {
	arn := in.path("arn")
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && parts[2] == "apigateway" {
		path := strings.Split(strings.Trim(parts[5], "/"), "/")
		if len(path) >= 2 && path[0] == "restapis" {
			api := c.apis[path[1]]
			switch {
			case api == nil:
				return nil, nil, notFound("Invalid API identifier specified %s:%s", account, path[1])
			case len(path) == 2:
				return api.Tags, func(t map[string]string) { api.Tags = t }, nil
			case len(path) == 4 && path[2] == "stages":
				st := api.stages[path[3]]
				if st == nil {
					return nil, nil, notFound("Invalid stage identifier specified")
				}
				return st.Tags, func(t map[string]string) { st.Tags = t }, nil
			}
		}
	}
	return nil, nil, badRequest("Invalid ARN specified in the request: %s", arn)
}

func (c *control) listFunctionTags(in *call) (answer, error) {
	f, err := c.taggedFunction(in)
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"Tags": with(f.tags, nil)})
}

func (c *control) tagFunction(in *call) (answer, error) {
	f, err := c.taggedFunction(in)
	if err != nil {
		return answer{}, err
	}
	var want struct{ Tags map[string]string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	f.tags = with(f.tags, want.Tags)
	return noContent()
}

func (c *control) untagFunction(in *call) (answer, error) {
	f, err := c.taggedFunction(in)
	if err != nil {
		return answer{}, err
	}
	f.tags = without(f.tags, in.query["tagKeys"])
	return noContent()
}

func (c *control) taggedFunction(in *call) (*function, error) {
	arn := in.path("arn")
	if !strings.HasPrefix(arn, "arn:") {
		return nil, refuse(http.StatusBadRequest, "InvalidParameterValueException", "%s is not an ARN", arn)
	}
	name, _ := splitFunctionName(arn)
	return c.function(in, name)
}

func with(tags, more map[string]string) map[string]string {
	all := maps.Clone(tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, more)
	return all
}

func without(tags map[string]string, keys []string) map[string]string {
	rest := maps.Clone(tags)
	for _, k := range keys {
		delete(rest, k)
	}
	return rest
}
