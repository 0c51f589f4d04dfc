package emulator

import (
	"sync"
	"time"
)

const (
	cacheTTL     = 300 * time.Second // the default of API Gateway, and what Gateway.Cache does
	cacheEntries = 1000
)

// cache is a stage's. Its key holds the deployment and not the release: a canary that shares its stage's deployment shares
// its answers, too, and what then looks like a split is whoever came first.
type cache struct {
	mu      sync.RWMutex
	entries map[cacheKey]cacheEntry
}

type cacheKey struct{ deploymentID, path string }

type cacheEntry struct {
	reply reply
	until time.Duration
}

func newCache() *cache { return &cache{entries: map[cacheKey]cacheEntry{}} }

func (c *cache) get(k cacheKey) (reply, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, found := c.entries[k]
	return e.reply, found && elapsed() < e.until
}

func (c *cache) put(k cacheKey, r reply, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.entries[k]; found || len(c.entries) < cacheEntries {
		c.entries[k] = cacheEntry{r, elapsed() + ttl}
	}
}
