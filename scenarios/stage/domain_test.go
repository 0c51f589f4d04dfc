package stage

import (
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

func TestFollow(t *testing.T) {
	mapping := func(base, api, stage string) types.BasePathMapping {
		return types.BasePathMapping{BasePath: &base, RestApiId: &api, Stage: aws.String(stage)}
	}
	root, shop, deep, open := mapping("(none)", "root", "prod"), mapping("shop", "shop", "live"), mapping("shop/v2", "deep", "v2"), mapping("any", "open", "(none)")
	all := []types.BasePathMapping{root, shop, deep, open}
	for _, c := range []struct {
		mappings []types.BasePathMapping
		path     string
		want     Route
	}{
		{all, "/products", Route{API: "root", Stage: "prod", Path: "/products"}},
		{all, "/", Route{API: "root", Stage: "prod", Path: "/"}},
		{all, "", Route{API: "root", Stage: "prod", Path: "/"}},
		{all, "/shop/products", Route{BasePath: "shop", API: "shop", Stage: "live", Path: "/products"}},
		{all, "/shop", Route{BasePath: "shop", API: "shop", Stage: "live", Path: "/"}},
		{all, "/shopping", Route{API: "root", Stage: "prod", Path: "/shopping"}},
		{all, "/shop/v2/products/7", Route{BasePath: "shop/v2", API: "deep", Stage: "v2", Path: "/products/7"}},
		{all, "/shop/v20", Route{BasePath: "shop", API: "shop", Stage: "live", Path: "/v20"}},
		{all, "/any/dev/products", Route{BasePath: "any", API: "open", Stage: "dev", Path: "/products"}},
		{[]types.BasePathMapping{shop}, "/products", Route{}},
		{nil, "/products", Route{}},
	} {
		if got := (Route{}).follow(c.mappings, c.path); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.path, got, c.want)
		}
	}
}

func TestOwnEndpoint(t *testing.T) {
	aws := &Client{region: "eu-west-1"}
	local := &Client{region: "eu-west-1", endpoint: "http://127.0.0.1:4566"}
	for _, c := range []struct {
		client *Client
		ref    Ref
	}{
		{aws, Ref{API: "ab12", Stage: "prod", Path: "/products/7"}},
		{&Client{region: "cn-north-1"}, Ref{API: "ab12", Stage: "prod", Path: "/"}},
		{local, Ref{API: "ab12", Stage: "prod", Path: "/products"}},
	} {
		u, err := url.Parse(c.client.InvokeURL(c.ref))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := c.client.ownEndpoint(u)
		if want := (Route{API: c.ref.API, Stage: c.ref.Stage, Path: c.ref.Path}); !ok || got != want {
			t.Errorf("%s: %+v %v", u, got, ok)
		}
	}
	for raw, c := range map[string]*Client{
		"https://api.example.com/products": aws, "https://ab12.execute-api.us-east-1.amazonaws.com/prod/products": aws,
		"http://127.0.0.1:4567/restapis/ab12/prod/_user_request_/": local, "http://127.0.0.1:4566/other": local,
		"http://api.example.com:4566/products": local,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := c.ownEndpoint(u); ok {
			t.Errorf("%s: %+v", raw, got)
		}
	}
}
