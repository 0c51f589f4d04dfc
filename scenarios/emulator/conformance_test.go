package emulator

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The conformance tables hold the emulator to every fact of aws.md, one case a fact, by section:
//
//	conformance_wire_test.go      1.1  operations, the stage on the wire
//	conformance_refusals_test.go  1.2, 2.3, 2.4  errors, validation, which patch goes where
//	conformance_canary_test.go    2.2, 2.5, 2.6  create, deploy, promote, abort, undo
//	conformance_gateway_test.go   3  the data plane
//
// They speak HTTP and JSON, not the SDK: what it leaves out or mends would not be seen. Every case says how well its fact is
// known, first thing in the subtest's name: go test -run '/^\[V\]' runs what was recorded against AWS.

// evidence is aws.md's mark on a fact.
type evidence string

const (
	recorded   evidence = "V"   // against real AWS
	sdk        evidence = "SDK" // read in the SDK or its service model
	documented evidence = "DOC" // AWS's guides
	captured   evidence = "CAP" // from a live API
	ranOnce    evidence = "RUN" // tried while aws.md was written
	thirdParty evidence = "3P"
	unverified evidence = "?" // the emulator takes the stricter reading; nothing may depend on it
)

// fact runs one case under a name that says how well it is known.
func fact(t *testing.T, e evidence, name string, check func(t *testing.T)) {
	t.Helper()
	t.Run("["+string(e)+"] "+name, check)
}

// request is a control-plane request. API, ROOT, RESOURCE, FIRST and SECOND in it are the stack's ids.
type request struct{ method, path, body string }

func get(path string) request        { return request{"GET", path, ""} }
func remove(path string) request     { return request{"DELETE", path, ""} }
func post(path, body string) request { return request{"POST", path, body} }
func put(path, body string) request  { return request{"PUT", path, body} }

// update is UpdateStage with operations as "replace /path value" and "copy /path from".
func update(stage string, ops ...string) request {
	list := []map[string]string{}
	for _, text := range ops {
		parts := strings.SplitN(text, " ", 3)
		op := map[string]string{"op": parts[0], "path": parts[1]}
		if len(parts) == 3 {
			op[map[bool]string{true: "from", false: "value"}[parts[0] == "copy"]] = parts[2]
		}
		list = append(list, op)
	}
	return request{"PATCH", "/restapis/API/stages/" + stage, string(encode(map[string]any{"patchOperations": list}))}
}

// conformer is a stack with two deployments. It speaks of them as the tables do.
type conformer struct {
	*stack
	ids map[string]string // by the tables' name
}

func conforming(t testing.TB) *conformer {
	s := startStack(t, Faults{})
	second := s.deploy()
	var api struct{ RootResourceID string }
	_, _, body := s.raw("GET", "/restapis/"+s.api, "")
	s.must(json.Unmarshal([]byte(body), &api))
	return &conformer{s, map[string]string{"API": s.api, "ROOT": api.RootResourceID, "RESOURCE": s.resource, "FIRST": s.deployed, "SECOND": second}}
}

// learn names another deployment: the third that there is is THIRD.
func (c *conformer) learn(deployment string) {
	for _, name := range []string{"THIRD", "FOURTH", "FIFTH"} {
		if c.ids[name] == "" {
			c.ids[name] = deployment
			return
		}
	}
	c.Fatal("more deployments than names")
}

// replace puts the ids in where a table has names, or the names where an answer has ids.
func (c *conformer) replace(text string, ids bool) string {
	for name, id := range c.ids {
		if ids {
			text = strings.ReplaceAll(text, name, id)
		} else {
			text = strings.ReplaceAll(text, id, name)
		}
	}
	return text
}

// ask answers with the stack's ids as they are written in the tables.
func (c *conformer) ask(r request) (status int, kind, body string) {
	c.Helper()
	status, header, body := c.raw(r.method, c.replace(r.path, true), c.replace(r.body, true))
	if header.Get("X-Amzn-Requestid") == "" {
		c.Errorf("%s %s: no request id", r.method, r.path)
	}
	return status, header.Get("X-Amzn-Errortype"), c.replace(body, false)
}

// keys are the top-level ones of a JSON object, sorted.
func keys(body string) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &fields) != nil {
		return ""
	}
	return strings.Join(slices.Sorted(maps.Keys(fields)), " ")
}

// has is whether a body, or a message, is what a table wants: all of it, or its beginning where the table ends it in "...".
func has(got, want string) bool {
	if begin, cut := strings.CutSuffix(want, "..."); cut {
		return strings.HasPrefix(got, begin)
	}
	return got == want
}
