package stage

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// Method is the tested method as the API stands now, and its settings on the stage.
type Method struct {
	Resource      string    `json:"resource"`                // the resource's path: "/products/{id}"
	Verb          string    `json:"verb"`                    // "GET", or "ANY"
	Authorization string    `json:"authorization,omitempty"` // NONE, AWS_IAM, CUSTOM or COGNITO_USER_POOLS
	NeedsKey      bool      `json:"needs_key,omitempty"`
	KeySource     string    `json:"key_source,omitempty"` // HEADER: x-api-key; AUTHORIZER: the authorizer gives it
	Cached        bool      `json:"cached,omitempty"`     // by the stage's cache
	Throttle      *Throttle `json:"throttle,omitempty"`   // nil: the account's alone
}

// Throttle is a limit of the stage's.
type Throttle struct {
	Setting string  `json:"setting"` // "*/*" for the stage's, "products/GET" for the method's own
	Rate    float64 `json:"rate"`    // requests per second
	Burst   int     `json:"burst"`   // requests
}

// configure takes the stage's settings: the method's own where it has any, else those for all.
func (m *Method) configure(s *apigateway.GetStageOutput) {
	settings := map[string]types.MethodSetting{}
	for key, setting := range s.MethodSettings {
		settings[plainSetting(key)] = setting
	}
	// Without a setting API Gateway caches GET alone, once there is a cache.
	m.Cached = s.CacheClusterEnabled && (m.Verb == "GET" || m.Verb == "ANY")
	first := true
	for _, key := range []string{strings.TrimPrefix(m.Resource, "/") + "/" + m.Verb, "*/*"} {
		setting, ok := settings[key]
		if !ok {
			continue
		}
		if first {
			m.Cached, first = s.CacheClusterEnabled && setting.CachingEnabled, false
		}
		if m.Throttle == nil && setting.ThrottlingRateLimit >= 0 && setting.ThrottlingBurstLimit >= 0 { // -1: none
			m.Throttle = &Throttle{Setting: key, Rate: setting.ThrottlingRateLimit, Burst: int(setting.ThrottlingBurstLimit)}
		}
	}
}

// plainSetting undoes the escapes of a key like "~1products~1{id}/GET".
func plainSetting(key string) string {
	key = strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~")
	if strings.HasPrefix(key, "/") && strings.Count(key, "/") > 1 {
		key = strings.TrimPrefix(key, "/")
	}
	return key
}
