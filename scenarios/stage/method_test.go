package stage

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/google/go-cmp/cmp"
)

func TestPlainSetting(t *testing.T) {
	for key, want := range map[string]string{
		"*/*": "*/*", "products/GET": "products/GET", "/products/GET": "products/GET", "~1products~1{id}/GET": "products/{id}/GET", "/GET": "/GET",
	} {
		if got := plainSetting(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

func TestConfigure(t *testing.T) {
	set := func(rate float64, burst int32, cached bool) types.MethodSetting {
		return types.MethodSetting{ThrottlingRateLimit: rate, ThrottlingBurstLimit: burst, CachingEnabled: cached}
	}
	get := Method{Resource: "/products", Verb: "GET"}
	for _, c := range []struct {
		name   string
		method Method
		cache  bool
		set    map[string]types.MethodSetting
		want   Method
	}{
		{"no settings", get, false, nil, get},
		{"a cache and no settings", get, true, nil, Method{Resource: "/products", Verb: "GET", Cached: true}},
		{"a cache does not take POST", Method{Resource: "/products", Verb: "POST"}, true, nil, Method{Resource: "/products", Verb: "POST"}},
		{"the stage's", get, true, map[string]types.MethodSetting{"*/*": set(50, 10, true)},
			Method{Resource: "/products", Verb: "GET", Cached: true, Throttle: &Throttle{"*/*", 50, 10}}},
		{"the method's own goes before", get, true, map[string]types.MethodSetting{"*/*": set(50, 10, true), "products/GET": set(5, 1, false)},
			Method{Resource: "/products", Verb: "GET", Throttle: &Throttle{"products/GET", 5, 1}}},
		{"of another method", get, true, map[string]types.MethodSetting{"products/POST": set(5, 1, false)}, Method{Resource: "/products", Verb: "GET", Cached: true}},
		{"none", get, false, map[string]types.MethodSetting{"*/*": set(-1, -1, true)}, get},
		{"caching without a cache", get, false, map[string]types.MethodSetting{"*/*": set(0, 0, true)},
			Method{Resource: "/products", Verb: "GET", Throttle: &Throttle{"*/*", 0, 0}}},
	} {
		got := c.method
		got.configure(&apigateway.GetStageOutput{CacheClusterEnabled: c.cache, MethodSettings: c.set})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
