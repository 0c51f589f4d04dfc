package emulator

import (
	"slices"
	"strings"
)

// methodSettings are kept and reported; the data plane does not act on them.
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
		m = methodSettings{LoggingLevel: "OFF", ThrottlingBurstLimit: 5000, ThrottlingRateLimit: 10000, CacheTTLInSeconds: 300,
			RequireAuthorization: true, UnauthorizedCacheControlHow: "SUCCEED_WITH_RESPONSE_HEADER"}
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
		m.CacheTTLInSeconds, err = op.integer()
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
