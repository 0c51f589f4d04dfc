package preflight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"coalmine/scenarios/stage"
)

// managed looks for a tool that would undo a promote, or trip over it.
func managed(f Facts, p Plan) []Finding {
	if f.ref.Weighted() {
		return one(unchecked("", "an alias has no tags"))
	}
	for _, tagged := range []struct {
		what string
		tags map[string]string
	}{{"stage " + f.target.State.Stage, f.target.State.Tags}, {"the API", f.target.APITags}} {
		tool, tag := stage.Owner(tagged.tags)
		if tool == "" {
			continue
		}
		if p.Promote || p.Repoint || p.Create || p.Deploy {
			return one(warn(fmt.Sprintf("promote by %s instead and check with coalmine verify, or bring its source in line right after", tool),
				"%s manages %s (tag %s): what this run may do (%s) is drift that its next apply undoes or fails on", tool, tagged.what, tag, p.verbs()))
		}
		return one(warn(fmt.Sprintf("promote by %s, and check with coalmine verify", tool), "%s manages %s (tag %s): a promote by coalmine would be drift", tool, tagged.what, tag))
	}
	return one(fine("no tag says that a tool manages the stage"))
}

// moved looks for another who shifts the aliases.
func moved(f Facts, p Plan) []Finding {
	if !f.moves.read {
		return one(unchecked("grant codedeploy:ListDeployments, codedeploy:BatchGetDeployments and codedeploy:BatchGetDeploymentTargets",
			"whether CodeDeploy moves an alias: %s", f.moves.why))
	}
	var all []Finding
	seen := map[string]bool{}
	for _, m := range slices.SortedStableFunc(slices.Values(f.moves.value), activeFirst) {
		name := m.function + ":" + m.alias
		if seen[name] || !slices.ContainsFunc(f.sides(), func(s side) bool { return s.Function == m.function && s.Alias == m.alias }) {
			continue
		}
		seen[name] = true
		switch {
		case m.active && p.acts():
			all = append(all, block("wait until it ends, or stop it: aws deploy stop-deployment --deployment-id "+m.id,
				"CodeDeploy moves alias %s now (deployment %s, %s): coalmine may look, and not act", name, m.id, m.status))
		case m.active:
			all = append(all, warn("wait until it ends", "CodeDeploy moves alias %s now (deployment %s, %s): its versions change under test", name, m.id, m.status))
		default:
			all = append(all, warn("let CodeDeploy move it, or take the alias out of its deployment group", "CodeDeploy moved alias %s on %s (deployment %s): its next deployment expects the alias as it left it",
				name, m.at.UTC().Format(time.DateOnly), m.id))
		}
	}
	if all == nil {
		return one(fine("CodeDeploy moves no alias of these, and moved none lately"))
	}
	return all
}

func activeFirst(a, b move) int {
	switch {
	case a.active && !b.active:
		return -1
	case b.active && !a.active:
		return 1
	}
	return b.at.Compare(a.at)
}

// credentials wants them to last, and to allow what will be asked of them.
func credentials(f Facts, p Plan) []Finding {
	return append(f.lasting(p), f.permissions(p)...)
}

// fixed are the sources that the SDK cannot get new credentials from when they end, by its names; signedIn those that
// it can while a person is signed in.
var (
	fixed    = []string{config.CredentialsSourceName, "StaticCredentials", "SharedConfigCredentials"}
	signedIn = []string{"SSOProvider", "LoginProvider", "ProcessProvider"}
)

func (f Facts) lasting(p Plan) []Finding {
	s, last := f.session.value, f.now.Add(p.Duration)
	switch {
	case !f.session.read:
		return one(unchecked("", "how long the credentials last: %s", f.session.why))
	case s.ends.IsZero():
		return one(fine("the credentials have no end that is known (%s)", s.source))
	case s.ends.After(last):
		return one(fine("the credentials last until %s, longer than the run may (%s)", clock(s.ends), p.Duration))
	case slices.ContainsFunc(fixed, func(name string) bool { return strings.HasPrefix(s.source, name) }):
		return one(block("sign in again, or shorten --max-duration", "the credentials end at %s, in %s, and the run may take %s",
			clock(s.ends), s.ends.Sub(f.now).Round(time.Second), p.Duration))
	case slices.Contains(signedIn, s.source):
		return one(warn("sign in again if that sign-in is old", "the credentials end at %s, before the run may, and are renewed only as long as their sign-in lasts (%s)", clock(s.ends), s.source))
	}
	return one(fine("the credentials end at %s and are renewed (%s)", clock(s.ends), s.source))
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05Z") }

func (f Facts) permissions(p Plan) []Finding {
	all := needs(f.place, f.ref, f.target, p)
	var found []Finding
	for _, action := range f.deniedReads() {
		if grant := least(all, action); grant != "" {
			found = append(found, warn("grant "+grant, "the credentials lack %s", action))
		}
	}
	switch {
	case !p.acts() || f.place.root():
	case !f.lacks.read:
		found = append(found, unchecked("compare with coalmine canary policy", "whether the credentials allow to %s: %s", p.verbs(), f.lacks.why))
	default:
		for _, s := range f.lacks.value {
			found = append(found, block("grant "+s.String(), "the credentials lack %s on %s, which the run needs later to %s",
				strings.Join(s.Action, ", "), strings.Join(s.Resource, ", "), p.verbs()))
		}
	}
	if found != nil {
		return found
	}
	if p.acts() {
		return one(fine("the credentials allow all that was read, and to %s", p.verbs()))
	}
	return one(fine("the credentials allow all that was read"))
}

// deniedReads are the actions that AWS refused.
func (f Facts) deniedReads() []string {
	var all []string
	for _, s := range f.sides() {
		for _, u := range s.Unread {
			if u.Denied {
				all = append(all, "lambda:"+u.Operation)
			}
		}
	}
	for _, name := range f.functions() {
		if f.reserved[name].denied {
			all = append(all, "lambda:GetFunctionConcurrency")
		}
	}
	if f.concurrency.denied {
		all = append(all, "lambda:GetAccountSettings")
	}
	if f.limits.denied || f.route.denied {
		all = append(all, "apigateway:GET")
	}
	slices.Sort(all)
	return slices.Compact(all)
}
