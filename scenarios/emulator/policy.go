package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// policy is the resource policy of one qualifier. A permission on one alias says nothing about another, or the function itself.
type policy struct {
	statements []statement
	revision   string
}

type statement struct {
	Sid       string
	Effect    string
	Principal any // {"Service": ...}, {"AWS": ...} or "*"
	Action    string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

func (c *control) addPermission(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	var want struct{ StatementId, Action, Principal, SourceArn, SourceAccount, RevisionId string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	q := in.qualifier()
	if err := f.hasQualifier(q); err != nil {
		return answer{}, err
	}
	if q == latest {
		return answer{}, invalidParameter("We currently do not support adding policies for $LATEST.")
	}
	if !isName(want.StatementId) {
		return answer{}, invalid(want.StatementId, "statementId", "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)")
	}
	if want.Action != "lambda:*" && !strings.HasPrefix(want.Action, "lambda:") {
		return answer{}, invalid(want.Action, "action", "Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])")
	}
	if want.Principal == "" {
		return answer{}, invalidParameter("The provided principal was invalid. Please check the principal and try again.")
	}
	p := f.policies[q]
	if want.RevisionId != "" && want.RevisionId != p.revision {
		return answer{}, stale("GetPolicy")
	}
	if p.index(want.StatementId) >= 0 {
		return answer{}, lambdaRefusal(http.StatusConflict, "ResourceConflictException",
			"The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", want.StatementId)
	}
	s := statement{Sid: want.StatementId, Effect: "Allow", Action: want.Action, Resource: f.arn}
	if q != "" {
		s.Resource += ":" + q
	}
	switch {
	case want.Principal == "*":
		s.Principal = "*"
	case strings.Contains(want.Principal, "."):
		s.Principal = map[string]string{"Service": want.Principal}
	default:
		s.Principal = map[string]string{"AWS": want.Principal}
	}
	s.Condition = map[string]map[string]string{}
	if want.SourceAccount != "" {
		s.Condition["StringEquals"] = map[string]string{"AWS:SourceAccount": want.SourceAccount}
	}
	if want.SourceArn != "" {
		s.Condition["ArnLike"] = map[string]string{"AWS:SourceArn": want.SourceArn}
	}
	c.storePolicy(f, q, append(slices.Clone(p.statements), s))
	return created(map[string]string{"Statement": string(encode(s))})
}

func (c *control) getPolicy(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	p, found := f.policies[in.qualifier()]
	if !found {
		return answer{}, missing("The resource you requested does not exist.")
	}
	document := struct {
		Version, Id string
		Statement   []statement
	}{"2012-10-17", "default", p.statements}
	return ok(map[string]string{"Policy": string(encode(document)), "RevisionId": p.revision})
}

func (c *control) removePermission(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	q := in.qualifier()
	p, found := f.policies[q]
	if !found {
		return answer{}, missing("No policy is associated with the given resource.")
	}
	i := p.index(in.path("sid"))
	if i < 0 {
		return answer{}, missing("Statement %s is not found in resource policy.", in.path("sid"))
	}
	if r := in.query.Get("RevisionId"); r != "" && r != p.revision {
		return answer{}, stale("GetPolicy")
	}
	c.storePolicy(f, q, slices.Delete(slices.Clone(p.statements), i, i+1))
	return noContent()
}

func (c *control) storePolicy(f *function, qualifier string, statements []statement) {
	f.policies[qualifier] = policy{statements, newRevision()}
	if len(statements) == 0 {
		delete(f.policies, qualifier)
	}
	c.publishFunctions()
}

func (f *function) hasQualifier(q string) error {
	if _, found := f.aliases[q]; found || q == "" || f.version(q) != nil {
		return nil
	}
	if isNumber(q) {
		return missing("Function not found: %s:%s", f.arn, q)
	}
	return missing("Cannot find alias arn: %s:%s", f.arn, q)
}

func (p policy) index(sid string) int {
	return slices.IndexFunc(p.statements, func(s statement) bool { return s.Sid == sid })
}

// allows says whether API Gateway may invoke on behalf of the method that source names.
func (p policy) allows(source string) bool {
	return slices.ContainsFunc(p.statements, func(s statement) bool { return s.allows(source) })
}

func (s statement) allows(source string) bool {
	if s.Action != "lambda:InvokeFunction" && s.Action != "lambda:*" && s.Action != "lambda:Invoke*" {
		return false
	}
	if who, found := s.Principal.(map[string]string); found && who["Service"] != "apigateway.amazonaws.com" {
		return false
	}
	if from, found := s.Condition["StringEquals"]["AWS:SourceAccount"]; found && from != account {
		return false
	}
	pattern, found := s.Condition["ArnLike"]["AWS:SourceArn"]
	return !found || arnLike(pattern, source)
}

// arnLike matches each of an ARN's six parts by itself, as IAM does: a star reaches over slashes, not over the first colons.
func arnLike(pattern, arn string) bool {
	for range 5 {
		p, morePattern, found := strings.Cut(pattern, ":")
		a, moreARN, alsoFound := strings.Cut(arn, ":")
		if !found || !alsoFound || !glob(p, a) {
			return false
		}
		pattern, arn = morePattern, moreARN
	}
	return glob(pattern, arn)
}

// glob takes * and ?. On a mismatch it lets the last star swallow one more byte, which is linear in practice and never exponential.
func glob(pattern, s string) bool {
	star, retry := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			retry++
			p, i = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
