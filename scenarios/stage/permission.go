package stage

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// invocable looks whether the qualifier's policy lets the API invoke it. Without it every request to that arm is an
// anonymous 500.
func (c *Client) invocable(ctx context.Context, function, qualifier, source string) (Answer, error) {
	in := &lambda.GetPolicyInput{FunctionName: &function}
	if qualifier != "" {
		in.Qualifier = &qualifier
	}
	out, err := c.lambda.GetPolicy(ctx, in)
	switch {
	case IsNotFound(err):
		return No, nil
	case err != nil:
		return Unknown, condense(err)
	case permits(text(out.Policy), source):
		return Yes, nil
	}
	return No, nil
}

type policy struct {
	Statement []struct {
		Effect    string
		Principal any // "*", or {"Service": name or names}
		Action    any // one or several
		Condition map[string]map[string]any
	}
}

// permits reports whether a statement allows API Gateway to invoke for this
// source. Conditions other than on the source ARN are taken to hold.
func permits(document, source string) bool {
	var p policy
	if json.Unmarshal([]byte(document), &p) != nil {
		return false
	}
	for _, s := range p.Statement {
		principals := strs(s.Principal)
		if m, ok := s.Principal.(map[string]any); ok {
			principals = strs(m["Service"])
		}
		if s.Effect != "Allow" || !slices.ContainsFunc(principals, func(p string) bool { return p == "*" || p == "apigateway.amazonaws.com" }) {
			continue
		}
		if !slices.ContainsFunc(strs(s.Action), func(a string) bool { return like(strings.ToLower(a), "lambda:invokefunction") }) {
			continue
		}
		if sourceAllowed(s.Condition, source) {
			return true
		}
	}
	return false
}

func sourceAllowed(conditions map[string]map[string]any, source string) bool {
	for _, keys := range conditions {
		for key, patterns := range keys {
			if !strings.EqualFold(key, "aws:SourceArn") {
				continue
			}
			if !slices.ContainsFunc(strs(patterns), func(p string) bool { return like(afterPartition(p), source) }) {
				return false
			}
		}
	}
	return true
}

// afterPartition drops "arn:aws:" or another partition's.
func afterPartition(arn string) string {
	parts := strings.SplitN(arn, ":", 3)
	return parts[len(parts)-1]
}

func strs(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// like matches IAM's wildcards, * and ?.
func like(pattern, s string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			for i := 0; i <= len(s); i++ {
				if like(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		case '?':
			if s == "" {
				return false
			}
		default:
			if s == "" || s[0] != pattern[0] {
				return false
			}
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}
