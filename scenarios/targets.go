package scenarios

import (
	"fmt"
	"net/http"
	"strings"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/attack"
)

// LoadTarget is one of several targets of a scenario.
type LoadTarget struct {
	Path    string            `yaml:"path"`
	Method  string            `yaml:"method"` // "": GET
	Headers map[string]string `yaml:"headers"`
	Body    string            `yaml:"body"`
	Weight  int               `yaml:"weight"` // share of the load, in parts; 0: 1
	Name    string            `yaml:"name"`   // of its tally; "": method and path
}

func (t LoadTarget) validate() error {
	switch {
	case !strings.HasPrefix(t.Path, "/"):
		return fmt.Errorf("path: want one that begins with a slash, got %q", t.Path)
	case t.Weight < 0:
		return fmt.Errorf("weight: want 1 or more, got %d", t.Weight)
	case t.Body != "" && (t.Method == "" || t.Method == http.MethodGet || t.Method == http.MethodHead):
		return fmt.Errorf("body: want a method that has one, like POST")
	}
	return nil
}

// requests completes a plan by how the scenario's requests are made.
func (l Load) requests(p *attack.Plan) {
	p.Target.Header, p.Target.Body = headers(l.Headers), []byte(l.Body)
	for _, t := range l.Targets {
		p.Targets = append(p.Targets, attack.Target{Name: t.Name, Weight: t.Weight,
			Target: vegeta.Target{Method: t.Method, URL: t.Path, Body: []byte(t.Body), Header: headers(t.Headers)}})
	}
	if l.With != nil {
		l.With(p)
	}
}

func headers(values map[string]string) http.Header {
	header := http.Header{}
	for name, value := range values {
		header.Set(name, value)
	}
	return header
}

// LoadTargets are the tallies of a load on several targets, as the header of its run file names them; nil of one.
func LoadTargets(p attack.Plan) (targets []analyze.LoadTarget) {
	for _, t := range p.Tallies() {
		targets = append(targets, analyze.LoadTarget{Name: t.Name, Share: t.Share})
	}
	return targets
}
