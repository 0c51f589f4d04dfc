package emulator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// release is a stage as a host serves it: its own arm and, when a canary is on, the canary's.
type release struct {
	base, canary *arm       // canary is nil without one
	percent      float64    // of the traffic, 0 to 100, for the canary
	closed       bool       // the API's own address is disabled: only custom domains lead here
	buckets      buckets    // of the stage's method settings, shared by both arms
	log          *accessLog // nil: none
}

// arm is one deployment under one set of variables, with every integration resolved.
type arm struct {
	stage        string
	deploymentID string
	variables    map[string]string
	exact        map[string]*node // resources without path parameters
	templates    []*node          // the others, most specific first
	errors       errorForms
}

type node struct {
	path     string
	segments []string
	routes   map[string]*route // by verb
}

// route is a method with its integration, its stage variables put in.
type route struct {
	resourceID          string
	path                string
	method              *method
	timeout             time.Duration
	function, qualifier string        // function is "" when the URI names none
	source              string        // the ARN that a permission is held against, up to the verb
	limit               *bucket       // nil: the account's alone
	cacheTTL            time.Duration // 0: answers are not kept
}

// newRelease takes over the former one's buckets, so that saving a stage does not fill them.
func newRelease(api *restAPI, s *stage, former *release) *release {
	r := &release{base: newArm(api, s.StageName, s.DeploymentID, s.Variables), closed: api.NoExecute, buckets: buckets{},
		log: newAccessLog(s.AccessLogSettings)}
	if c := s.CanarySettings; c != nil {
		r.percent = float64(c.PercentTraffic)
		r.canary = newArm(api, s.StageName, c.DeploymentID, with(s.Variables, c.Overrides)) // overrides win, the rest stays visible
	}
	var before buckets
	if former != nil {
		before = former.buckets
	}
	r.base.configure(s, r.buckets, before)
	if r.canary != nil {
		r.canary.configure(s, r.buckets, before)
	}
	return r
}

func newArm(api *restAPI, stage, deploymentID string, variables map[string]string) *arm {
	d := api.deploymentByID(deploymentID)
	if d == nil {
		d = &deployment{}
	}
	a := resolve(api, stage, deploymentID, d.snapshot, variables)
	a.errors = d.errors
	return a
}

func resolve(api *restAPI, stage, deploymentID string, snapshot []deployed, variables map[string]string) *arm {
	a := &arm{stage: stage, deploymentID: deploymentID, variables: maps.Clone(variables), exact: map[string]*node{}}
	for _, r := range snapshot {
		n := &node{path: r.path, segments: strings.Split(r.path, "/"), routes: map[string]*route{}}
		for verb, m := range r.methods {
			to := &route{
				resourceID: r.resourceID,
				path:       r.path,
				method:     m,
				timeout:    time.Duration(m.Integration.TimeoutInMillis) * time.Millisecond,
				source:     "arn:aws:execute-api:" + api.region + ":" + account + ":" + api.ID + "/" + stage + "/",
			}
			to.function, to.qualifier = lambdaOf(substitute(m.Integration.URI, variables))
			n.routes[verb] = to
		}
		if strings.Contains(r.path, "{") {
			a.templates = append(a.templates, n)
		} else {
			a.exact[r.path] = n
		}
	}
	slices.SortFunc(a.templates, func(x, y *node) int {
		return slices.CompareFunc(x.segments, y.segments, func(s, t string) int {
			return cmp.Or(cmp.Compare(generality(s), generality(t)), strings.Compare(s, t))
		})
	})
	return a
}

func generality(segment string) int {
	switch {
	case strings.HasSuffix(segment, "+}"):
		return 2
	case strings.HasPrefix(segment, "{"):
		return 1
	}
	return 0
}

// substitute puts stage variables in; one that is not set leaves nothing behind.
func substitute(uri string, variables map[string]string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(uri, "${stageVariables.")
		name, after, closed := strings.Cut(rest, "}")
		b.WriteString(before)
		if !found || !closed {
			return b.String()
		}
		b.WriteString(variables[name])
		uri = after
	}
}

// lambdaOf reads arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function ARN}/invocations.
func lambdaOf(uri string) (function, qualifier string) {
	_, rest, found := strings.Cut(uri, ":lambda:path/2015-03-31/functions/")
	arn, closed := strings.CutSuffix(rest, "/invocations")
	if !found || !closed || strings.HasSuffix(arn, ":") || !strings.HasPrefix(arn, "arn:aws:lambda:") {
		return "", ""
	}
	return splitFunctionName(arn)
}

// match finds the route for a verb and a path below the stage.
func (a *arm) match(verb, path string) (*route, map[string]string) {
	if n := a.exact[path]; n != nil {
		return n.route(verb), nil
	}
	for _, n := range a.templates {
		if parameters, fits := n.fits(path); fits {
			return n.route(verb), parameters
		}
	}
	return nil, nil
}

func (n *node) route(verb string) *route {
	if r := n.routes[verb]; r != nil {
		return r
	}
	return n.routes["ANY"]
}

func (n *node) fits(path string) (map[string]string, bool) {
	parts := strings.Split(path, "/")
	parameters := map[string]string{}
	for i, s := range n.segments {
		if i >= len(parts) {
			return nil, false
		}
		name, variable := strings.CutPrefix(s, "{")
		if !variable {
			if s != parts[i] {
				return nil, false
			}
			continue
		}
		if greedy, found := strings.CutSuffix(name, "+}"); found {
			parameters[greedy] = strings.Join(parts[i:], "/")
			return parameters, parameters[greedy] != ""
		}
		if parts[i] == "" {
			return nil, false
		}
		parameters[strings.TrimSuffix(name, "}")] = parts[i]
	}
	return parameters, len(parts) == len(n.segments)
}

// pick chooses the arm for one request, independently of every other request.
func (r *release) pick(f *conditions, d draw) (a *arm, canary bool) {
	if r.canary == nil || f.Gateway.IgnoreCanary {
		return r.base, false
	}
	percent := r.percent
	if f.Gateway.Percent != nil {
		percent = *f.Gateway.Percent
	}
	if percent > d.share(forCanary)*100 {
		return r.canary, true
	}
	return r.base, false
}
