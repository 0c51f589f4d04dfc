package stage

import (
	"maps"
	"slices"
	"strings"
)

// owners are the tags by which tools mark what they manage. A pattern's value is lower case; "" is any.
var owners = []struct{ key, value, tool string }{
	{"aws:cloudformation:stack-name", "", "CloudFormation"},
	{"aws:cdk", "", "CDK"},
	{"aws-cdk", "", "CDK"},
	{"lambda:createdby", "sam", "SAM"},
	{"terraform", "", "Terraform"},
	{"tf-", "", "Terraform"},
	{"pulumi", "", "Pulumi"},
	{"serverless", "", "Serverless"},
	{"managed", "terraform", "Terraform"},
	{"managed", "opentofu", "OpenTofu"},
	{"managed", "cloudformation", "CloudFormation"},
	{"managed", "cdk", "CDK"},
	{"managed", "pulumi", "Pulumi"},
	{"managed", "serverless", "Serverless"},
	{"managed", "sam", "SAM"},
	{"created", "terraform", "Terraform"},
	{"provision", "terraform", "Terraform"},
	{"iac", "", "a tool for infrastructure as code"},
}

// Owner finds the tool that manages the tagged, and the tag that says so.
func Owner(tags map[string]string) (tool, tag string) {
	for _, o := range owners {
		for _, key := range slices.Sorted(maps.Keys(tags)) {
			k, v := strings.ToLower(key), strings.ToLower(tags[key])
			if strings.HasPrefix(k, o.key) && strings.Contains(v, o.value) && v != "false" && v != "no" {
				return o.tool, key + "=" + tags[key]
			}
		}
	}
	return "", ""
}
