package emulator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

type resource struct {
	ID       string `json:"id"`
	ParentID string `json:"parentId,omitempty"`
	PathPart string `json:"pathPart,omitempty"`
	Path     string `json:"path"`

	methods map[string]*method // values are replaced, never changed: deployments share them
}

// resourceView is a resource on the wire: with its verbs alone, or with the whole methods when embed=methods asks for them.
type resourceView struct {
	*resource
	Methods map[string]any `json:"resourceMethods,omitempty"`
}

func (r *resource) view(in *call) resourceView {
	v := resourceView{r, map[string]any{}}
	embed := slices.Contains(in.query["embed"], "methods")
	for verb, m := range r.methods {
		v.Methods[verb] = struct{}{}
		if embed {
			v.Methods[verb] = m
		}
	}
	return v
}

func (c *control) getResources(in *call) (answer, error) {
	api, err := c.api(in)
	if err != nil {
		return answer{}, err
	}
	all := []resourceView{}
	for _, r := range slices.SortedFunc(maps.Values(api.resources), func(a, b *resource) int { return cmp.Compare(a.Path, b.Path) }) {
		all = append(all, r.view(in))
	}
	return paged(all, in.query)
}

func (c *control) getResource(in *call) (answer, error) {
	_, r, err := c.resource(in)
	if err != nil {
		return answer{}, err
	}
	return ok(r.view(in))
}

func (c *control) createResource(in *call) (answer, error) {
	api, parent, err := c.resource(in)
	if err != nil {
		return answer{}, err
	}
	var want struct{ PathPart string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	if !isPathPart(want.PathPart) {
		return answer{}, badRequest("Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end.")
	}
	if strings.HasSuffix(parent.PathPart, "+}") {
		return answer{}, badRequest("Cannot create a child of a resource with a greedy path variable: %s", parent.PathPart)
	}
	for _, r := range api.resources {
		if r.ParentID == parent.ID && r.PathPart == want.PathPart {
			return answer{}, conflict("Another resource with the same parent already has this name: %s", want.PathPart)
		}
	}
	r := &resource{
		ID:       newID(6),
		ParentID: parent.ID,
		PathPart: want.PathPart,
		Path:     strings.TrimSuffix(parent.Path, "/") + "/" + want.PathPart,
		methods:  map[string]*method{},
	}
	api.resources[r.ID] = r
	return created(r.view(in))
}

func (c *control) deleteResource(in *call) (answer, error) {
	api, r, err := c.resource(in)
	if err != nil {
		return answer{}, err
	}
	if r.ParentID == "" {
		return answer{}, badRequest("Cannot delete the root resource")
	}
	gone := map[string]bool{r.ID: true}
	for grown := true; grown; {
		grown = false
		for id, r := range api.resources {
			if gone[r.ParentID] && !gone[id] {
				gone[id], grown = true, true
			}
		}
	}
	for id := range gone {
		delete(api.resources, id)
	}
	return accepted()
}

func (c *control) resource(in *call) (*restAPI, *resource, error) {
	api, err := c.api(in)
	if err != nil {
		return nil, nil, err
	}
	r := api.resources[in.path("resource")]
	if r == nil {
		return nil, nil, notFound("Invalid Resource identifier specified")
	}
	return api, r, nil
}

func isPathPart(s string) bool {
	if inner, found := strings.CutPrefix(s, "{"); found {
		inner, found = strings.CutSuffix(inner, "}")
		return found && isName(strings.TrimSuffix(inner, "+"))
	}
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:~%$@!*'()+,;=") == ""
}
