package preflight

import (
	"fmt"
	"strings"

	"coalmine/scenarios/stage"
)

// place is whose AWS it is, for ARNs.
type place struct {
	region  string
	account string
	caller  string // ARN
	real    bool   // AWS itself
}

func placeOf(c *stage.Client) place {
	return place{region: c.Region(), account: c.Account(), caller: c.Caller(), real: c.Real()}
}

// partition is AWS's name for its separate worlds.
func (p place) partition() string {
	for prefix, name := range map[string]string{
		"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b", "eu-isoe-": "aws-iso-e", "us-isof-": "aws-iso-f", "eusc-": "aws-eusc",
	} {
		if strings.HasPrefix(p.region, prefix) {
			return name
		}
	}
	return "aws"
}

func (p place) arn(service, rest string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", p.partition(), service, p.region, p.account, rest)
}

// gateway is an ARN of API Gateway's control plane, which names no account.
func (p place) gateway(path string) string {
	return fmt.Sprintf("arn:%s:apigateway:%s::%s", p.partition(), p.region, path)
}

func (p place) function(name string) string { return p.arn("lambda", "function:"+name) }

// principal is whom IAM knows: a session's role. The path of a role is not in its sessions' ARNs.
func (p place) principal() string {
	parts := strings.SplitN(p.caller, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	if role, ok := strings.CutPrefix(parts[5], "assumed-role/"); ok {
		name, _, _ := strings.Cut(role, "/")
		return fmt.Sprintf("arn:%s:iam::%s:role/%s", parts[1], parts[4], name)
	}
	if parts[2] != "iam" {
		return ""
	}
	return p.caller
}

// root is the account's own user, who may do everything.
func (p place) root() bool { return strings.HasSuffix(p.caller, ":root") }
