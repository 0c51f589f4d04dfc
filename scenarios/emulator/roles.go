package emulator

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// iamRole is a role: kept and reported. Functions name one, and nothing is held against it.
type iamRole struct {
	Path        string    `xml:"Path"`
	Name        string    `xml:"RoleName"`
	ID          string    `xml:"RoleId"`
	ARN         string    `xml:"Arn"`
	Created     string    `xml:"CreateDate"`
	Trust       string    `xml:"AssumeRolePolicyDocument"` // URL-encoded, as IAM gives it
	Description string    `xml:"Description,omitempty"`
	Session     int       `xml:"MaxSessionDuration"`
	Tags        []roleTag `xml:"Tags>member"`

	attached map[string]bool // policy ARNs
}

type roleResult struct{ Role *iamRole }

type roleTag struct{ Key, Value string }

type attachedPolicy struct{ PolicyName, PolicyArn string }

var roleOperations = map[string]queryOperation{
	"CreateRole":               (*control).createRole,
	"GetRole":                  (*control).getRole,
	"DeleteRole":               (*control).deleteRole,
	"AttachRolePolicy":         (*control).attachRolePolicy,
	"DetachRolePolicy":         (*control).detachRolePolicy,
	"ListAttachedRolePolicies": (*control).listAttachedRolePolicies,
}

func (c *control) createRole(form url.Values) (any, error) {
	name := form.Get("RoleName")
	if !isName(name) || len(name) > 64 {
		return nil, refuse(http.StatusBadRequest, "ValidationError", "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
	}
	if c.roles[name] != nil {
		return nil, refuse(http.StatusConflict, "EntityAlreadyExists", "Role with name %s already exists.", name)
	}
	trust := form.Get("AssumeRolePolicyDocument")
	if len(trust) == 0 || trust[0] != '{' {
		return nil, refuse(http.StatusBadRequest, "MalformedPolicyDocument", "JSON strings must not have leading spaces")
	}
	r := &iamRole{
		Path: "/", Name: name, ID: "AROA" + newID(16), ARN: "arn:aws:iam::" + account + ":role/" + name, Session: 3600,
		Created: time.Now().UTC().Format(time.RFC3339), Trust: url.QueryEscape(trust), Description: form.Get("Description"),
		attached: map[string]bool{},
	}
	for i := 1; form.Has("Tags.member." + strconv.Itoa(i) + ".Key"); i++ {
		at := "Tags.member." + strconv.Itoa(i)
		r.Tags = append(r.Tags, roleTag{form.Get(at + ".Key"), form.Get(at + ".Value")})
	}
	c.roles[name] = r
	return roleResult{r}, nil
}

func (c *control) role(form url.Values) (*iamRole, error) {
	if r := c.roles[form.Get("RoleName")]; r != nil {
		return r, nil
	}
	return nil, refuse(http.StatusNotFound, "NoSuchEntity", "The role with name %s cannot be found.", form.Get("RoleName"))
}

func (c *control) getRole(form url.Values) (any, error) {
	r, err := c.role(form)
	return roleResult{r}, err
}

func (c *control) deleteRole(form url.Values) (any, error) {
	r, err := c.role(form)
	if err != nil {
		return nil, err
	}
	if len(r.attached) > 0 {
		return nil, refuse(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
	}
	delete(c.roles, r.Name)
	return nil, nil
}

func (c *control) attachRolePolicy(form url.Values) (any, error) {
	r, err := c.role(form)
	if err == nil {
		r.attached[form.Get("PolicyArn")] = true
	}
	return nil, err
}

func (c *control) detachRolePolicy(form url.Values) (any, error) {
	r, err := c.role(form)
	if err != nil {
		return nil, err
	}
	if !r.attached[form.Get("PolicyArn")] {
		return nil, refuse(http.StatusNotFound, "NoSuchEntity", "Policy %s was not found.", form.Get("PolicyArn"))
	}
	delete(r.attached, form.Get("PolicyArn"))
	return nil, nil
}

func (c *control) listAttachedRolePolicies(form url.Values) (any, error) {
	r, err := c.role(form)
	if err != nil {
		return nil, err
	}
	var out struct {
		Policies []attachedPolicy `xml:"AttachedPolicies>member"`
	}
	for _, arn := range slices.Sorted(maps.Keys(r.attached)) {
		out.Policies = append(out.Policies, attachedPolicy{arn[strings.LastIndexByte(arn, '/')+1:], arn})
	}
	return out, nil
}
