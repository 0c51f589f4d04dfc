package emulator

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// methodSettings are a stage's for one method, or for all. The data plane acts on throttling and caching.
type methodSettings struct {
	MetricsEnabled              bool    `json:"metricsEnabled"`
	LoggingLevel                string  `json:"loggingLevel"`
	DataTraceEnabled            bool    `json:"dataTraceEnabled"`
	ThrottlingBurstLimit        int     `json:"throttlingBurstLimit"`
	ThrottlingRateLimit         decimal `json:"throttlingRateLimit"`
	CachingEnabled              bool    `json:"cachingEnabled"`
	CacheTTLInSeconds           int     `json:"cacheTtlInSeconds"`
	CacheDataEncrypted          bool    `json:"cacheDataEncrypted"`
	RequireAuthorization        bool    `json:"requireAuthorizationForCacheControl"`
	UnauthorizedCacheControlHow string  `json:"unauthorizedCacheControlHeaderStrategy"`
}

// applyMethodSetting takes /{resource}/{verb}/{group}/{leaf} and /*/*/{group}/{leaf}; the resource writes its slashes as ~1.
func (s *stage) applyMethodSetting(op patchOperation) error {
	parts := strings.Split(strings.TrimPrefix(op.Path, "/"), "/")
	if op.Op == "remove" && len(parts) == 2 {
		key := settingKey(parts)
		if _, found := s.MethodSettings[key]; !found {
			return op.nothingToRemove()
		}
		delete(s.MethodSettings, key)
		return nil
	}
	if op.Op == "remove" {
		return op.nothingToRemove()
	}
	if op.Op != "replace" {
		return op.invalidHere()
	}
	if len(parts) < 4 {
		return op.unknownPath()
	}
	n := len(parts) - 2
	key := settingKey(parts[:n])
	m, found := s.MethodSettings[key]
	if !found {
		if m, found = s.MethodSettings["*/*"]; !found { // a method's settings begin as the stage's; not recorded, the stricter reading
			m = methodSettings{LoggingLevel: "OFF", ThrottlingBurstLimit: accountBurst, ThrottlingRateLimit: accountRate, CacheTTLInSeconds: 300,
				RequireAuthorization: true, UnauthorizedCacheControlHow: "SUCCEED_WITH_RESPONSE_HEADER"}
		}
	}
	var err error
	switch strings.Join(parts[n:], "/") {
	case "metrics/enabled":
		m.MetricsEnabled, err = op.boolean()
	case "logging/dataTrace":
		m.DataTraceEnabled, err = op.boolean()
	case "logging/loglevel":
		if m.LoggingLevel = op.Value; !slices.Contains([]string{"OFF", "ERROR", "INFO"}, op.Value) {
			err = badRequest("Invalid logging level: %s", op.Value)
		}
	case "throttling/burstLimit":
		m.ThrottlingBurstLimit, err = op.integer()
	case "throttling/rateLimit":
		m.ThrottlingRateLimit, err = op.decimal()
	case "caching/enabled":
		m.CachingEnabled, err = op.boolean()
	case "caching/ttlInSeconds":
		if m.CacheTTLInSeconds, err = op.integer(); err == nil && (m.CacheTTLInSeconds < 0 || m.CacheTTLInSeconds > 3600) {
			err = badRequest("Invalid cache TTL: %s. Must be between 0 and 3600 seconds.", op.Value) // the range is documented, the text is not
		}
	case "caching/dataEncrypted":
		m.CacheDataEncrypted, err = op.boolean()
	case "caching/requireAuthorizationForCacheControl":
		m.RequireAuthorization, err = op.boolean()
	case "caching/unauthorizedCacheControlHeaderStrategy":
		m.UnauthorizedCacheControlHow = op.Value
	default:
		return op.unknownPath()
	}
	if err == nil {
		s.MethodSettings[key] = m
	}
	return err
}

func settingKey(parts []string) string {
	resource := strings.Join(parts[:len(parts)-1], "/")
	resource = strings.TrimPrefix(strings.NewReplacer("~1", "/", "~0", "~").Replace(resource), "/")
	return resource + "/" + parts[len(parts)-1]
}

// buckets are a stage's, by method: "products/GET". The settings for all methods give each method a bucket of its own.
type buckets map[string]*bucket

// configure puts the stage's method settings on the routes; both arms draw from the same buckets.
func (a *arm) configure(s *stage, all, before buckets) {
	nodes := append(slices.Collect(maps.Values(a.exact)), a.templates...)
	for _, n := range nodes {
		for verb, to := range n.routes {
			key := strings.TrimPrefix(n.path, "/") + "/" + verb
			m, found := s.MethodSettings[key]
			if !found {
				m, found = s.MethodSettings["*/*"]
			}
			if !found {
				continue
			}
			to.limit = all.limit(key, m, before)
			if s.CacheClusterEnabled && m.CachingEnabled {
				to.cacheTTL = time.Duration(m.CacheTTLInSeconds) * time.Second
			}
		}
	}
}

// limit is nil where throttling is off, which is what a negative rate or burst says.
func (b buckets) limit(key string, m methodSettings, before buckets) *bucket {
	if m.ThrottlingRateLimit < 0 || m.ThrottlingBurstLimit < 0 {
		return nil
	}
	if b[key] == nil {
		if b[key] = before[key]; b[key] == nil || b[key].rate != float64(m.ThrottlingRateLimit) || b[key].burst != m.ThrottlingBurstLimit {
			b[key] = newBurst(float64(m.ThrottlingRateLimit), m.ThrottlingBurstLimit)
		}
	}
	return b[key]
}
