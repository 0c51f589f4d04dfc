package accesslog

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"coalmine/analyze"
	"coalmine/attack"
)

type said int8

const (
	unsaid said = iota
	no
	yes
)

// entry is what one line of the log says of its request.
type entry struct {
	canary said
	status int // 0: nothing
}

func (e entry) decided() bool { return e.canary != unsaid }

// deployments are those that answer on a stage, where they tell the arms apart.
type deployments struct{ stage, canary string }

// deploymentsOf reads them from what the control plane said before the run, a stage or what holds one, and from the
// canary that the run made.
func deploymentsOf(s analyze.Sought) (d deployments) {
	type state struct {
		Deployment string `json:"deployment_id"`
		Canary     struct {
			Deployment string `json:"deployment_id"`
		} `json:"canary"`
		Stage json.RawMessage `json:"stage"`
	}
	var was state
	for raw := s.Header.Stage; len(raw) > 0 && raw[0] == '{' && was.Deployment == ""; raw = was.Stage {
		if was = (state{}); json.Unmarshal(raw, &was) != nil {
			break // another tool's: then the deployments are not known
		}
	}
	d = deployments{was.Deployment, was.Canary.Deployment}
	if s.Deployment != "" {
		d.canary = s.Deployment
	}
	if d.stage == d.canary {
		return deployments{}
	}
	return d
}

// parser reads entries.
type parser struct {
	deployments
	format *regexp.Regexp // of an entry, with a group named after each variable that matters; nil: unknown
	own    *regexp.Regexp // either deployment's id, as a word; nil: they tell nothing
}

// The variables that matter, by the names of groups.
var variables = map[string]string{"$context.isCanaryRequest": "canary", "$context.status": "status", "$context.deploymentId": "deployment"}

var variable = regexp.MustCompile(`\$context\.[a-zA-Z0-9_.-]*[a-zA-Z0-9_]`)

func newParser(format string, d deployments) parser {
	p := parser{deployments: d, format: expression(strings.TrimSpace(format))}
	var ids []string
	for _, id := range []string{d.stage, d.canary} {
		if id != "" {
			ids = append(ids, regexp.QuoteMeta(id))
		}
	}
	if len(ids) > 0 {
		p.own, _ = regexp.Compile(`\b(` + strings.Join(ids, "|") + `)\b`) // nil where an id is no text
	}
	return p
}

// expression matches what API Gateway makes of a format, whether that is JSON, XML, CSV or Common Log.
func expression(format string) *regexp.Regexp {
	if format == "" {
		return nil
	}
	var b strings.Builder
	b.WriteString(`(?s)^\s*`)
	end, used := 0, map[string]bool{}
	for _, at := range variable.FindAllStringIndex(format, -1) {
		b.WriteString(regexp.QuoteMeta(format[end:at[0]]))
		if name := variables[format[at[0]:at[1]]]; name != "" && !used[name] {
			b.WriteString(`(?P<` + name + `>.*?)`)
			used[name] = true
		} else {
			b.WriteString(`.*?`)
		}
		end = at[1]
	}
	b.WriteString(regexp.QuoteMeta(format[end:]) + `\s*$`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil // a format beyond what an expression may hold: the names will have to do
	}
	return re
}

var uuid = regexp.MustCompile(`\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b`)

// id is the one in an entry that is sought, whatever the field is called. Other UUIDs stand beside it: Lambda's, the
// function's trace.
func (p *parser) id(message string, sought map[attack.RequestID]struct{}) (id attack.RequestID, found bool) {
	for _, text := range uuid.FindAllString(message, -1) {
		if id.UnmarshalText([]byte(text)) == nil {
			if _, found = sought[id]; found {
				return id, true
			}
		}
	}
	return id, false
}

// entry reads what else matters: by the format, or by the usual names of JSON keys.
func (p *parser) entry(message string) entry {
	values := p.byFormat(message)
	if values == nil {
		values = byName(message)
	}
	e := entry{canary: truth(values["canary"])}
	if status, err := strconv.Atoi(values["status"]); err == nil && status >= 100 && status <= 999 {
		e.status = status
	}
	if e.canary == unsaid {
		e.canary = p.byDeployment(values["deployment"], message)
	}
	return e
}

func (p *parser) byFormat(message string) map[string]string {
	if p.format == nil {
		return nil
	}
	match := p.format.FindStringSubmatch(message)
	if match == nil {
		return nil // logged before the format was changed, or another stage's
	}
	values := map[string]string{}
	for i, name := range p.format.SubexpNames() {
		if name != "" {
			values[name] = match[i]
		}
	}
	return values
}

// The usual names of JSON keys, in small letters and digits only.
var usualNames = map[string]string{
	"iscanaryrequest": "canary", "iscanary": "canary", "canaryrequest": "canary", "canary": "canary",
	"status": "status", "statuscode": "status", "httpstatus": "status", "httpstatuscode": "status", "responsestatus": "status",
	"deploymentid": "deployment", "deployment": "deployment",
}

var plain = strings.NewReplacer("_", "", "-", "", ".", "", " ", "")

func byName(message string) map[string]string {
	var object map[string]any
	if json.Unmarshal([]byte(message), &object) != nil {
		return nil
	}
	values := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(object)) { // of two keys for one thing the first
		name := usualNames[plain.Replace(strings.ToLower(key))]
		if value := object[key]; name != "" && value != nil && values[name] == "" {
			values[name] = fmt.Sprint(value)
		}
	}
	return values
}

func truth(text string) said {
	switch strings.ToLower(strings.Trim(text, `"`)) {
	case "true":
		return yes
	case "false":
		return no
	}
	return unsaid
}

// byDeployment goes by the field, or by whichever of the two deployments is named anywhere, if only one is.
func (p *parser) byDeployment(field, message string) (s said) {
	if p.own == nil {
		return unsaid
	}
	if field == "" {
		for _, id := range p.own.FindAllString(message, -1) {
			if field != "" && field != id {
				return unsaid
			}
			field = id
		}
	}
	switch field {
	case "":
		return unsaid
	case p.canary:
		return yes
	case p.stage:
		return no
	}
	return unsaid
}
