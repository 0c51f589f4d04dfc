package stage

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

func TestMatch(t *testing.T) {
	var resources []types.Resource
	for _, path := range []string{"/", "/products", "/products/{id}", "/products/new", "/products/{id}/reviews", "/{proxy+}", "/empty"} {
		r := types.Resource{Path: aws.String(path), ResourceMethods: map[string]types.Method{"GET": {}}}
		switch path {
		case "/{proxy+}":
			r.ResourceMethods = map[string]types.Method{"ANY": {}}
		case "/empty":
			r.ResourceMethods = nil
		}
		resources = append(resources, r)
	}
	for path, want := range map[string]string{
		"/products": "GET /products", "/products/": "GET /products", "products?x=1": "GET /products", "/": "GET /",
		"/products/new": "GET /products/new", "/products/7": "GET /products/{id}", "/products/7/reviews": "GET /products/{id}/reviews",
		"/products/7/other": "ANY /{proxy+}", "/a/b/c": "ANY /{proxy+}", "/empty": "ANY /{proxy+}", "/products/{id}": "GET /products/{id}",
	} {
		r, verb, err := match(resources, Ref{Path: path, Method: "get"})
		if got := verb + " " + aws.ToString(r.Path); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", path, got, err, want)
		}
	}
	if _, _, err := match(resources, Ref{Path: "/products", Method: "POST"}); err == nil || !strings.Contains(err.Error(), "no method POST") {
		t.Error(err)
	}
	if _, _, err := match(resources[:5], Ref{Path: "/orders", Method: "GET"}); err == nil {
		t.Error("no path matched, and no error")
	}
}

func TestFunctionIn(t *testing.T) {
	const uri = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:1:function:"
	for in, want := range map[string]string{
		uri + "f/invocations": "f ", uri + "f:prod/invocations": "f prod", uri + "f:3/invocations": "f 3", uri + "f:$LATEST/invocations": "f $LATEST",
	} {
		function, qualifier, err := functionIn(in)
		if err != nil || function+" "+qualifier != want {
			t.Errorf("%s: %s %s %v", in, function, qualifier, err)
		}
	}
	for _, in := range []string{"", "http://x", uri + "f", uri + "f:a:b/invocations"} {
		if _, _, err := functionIn(in); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

func TestPermits(t *testing.T) {
	const source = "execute-api:eu-west-1:1:ab12/prod/GET/products"
	statement := func(s string) string { return `{"Statement":[` + s + `]}` }
	for document, want := range map[string]bool{
		statement(`{"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:eu-west-1:1:ab12/*/GET/products"}}}`):   true,
		statement(`{"Effect":"Allow","Principal":{"Service":["x","apigateway.amazonaws.com"]},"Action":["lambda:*"]}`):                                                                                                        true,
		statement(`{"Effect":"Allow","Principal":"*","Action":"lambda:invokefunction"}`):                                                                                                                                      true,
		statement(`{"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:eu-west-1:1:ab12/dev/GET/products"}}}`): false,
		statement(`{"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:eu-west-1:1:other/*/GET/products"}}}`):  false,
		statement(`{"Effect":"Deny","Principal":"*","Action":"*"}`):                                                      false,
		statement(`{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction"}`):      false,
		statement(`{"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:GetFunction"}`): false,
		`nonsense`: false,
		``:         false,
	} {
		if permits(document, source) != want {
			t.Errorf("%v: %s", !want, document)
		}
	}
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{{"*", "", true}, {"a*c", "abbc", true}, {"a*c", "abbd", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"", "", true}, {"", "a", false}, {"a", "", false}, {"**x", "yyx", true}} {
		if like(c.pattern, c.s) != c.want {
			t.Errorf("%q %q", c.pattern, c.s)
		}
	}
}

func TestAsks(t *testing.T) {
	api := Target{Methods: []string{"ANY /{proxy+}", "GET /products", "GET /products/{id}", "POST /orders"}}
	for _, c := range [][3]string{
		{"GET", "/products?page=2", "GET /products"}, {"GET", "/products/7", "GET /products/{id}"}, {"POST", "/orders", "POST /orders"},
		{"DELETE", "/orders", "ANY /{proxy+}"}, {"GET", "/a/b/c", "ANY /{proxy+}"},
	} {
		if got := api.Asks(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
	if got := (Target{Methods: []string{"GET /a"}}).Asks("POST", "/a"); got != "" {
		t.Errorf("%q", got)
	}
}
