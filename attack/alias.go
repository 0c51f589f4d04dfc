package attack

var aliasMember, _ = parsePointer("/alias")

// ByAlias completes a classifier for the gateway's own 5xx, which no function can mark: one whose body is JSON with a
// member "alias" (a gateway response that coalmine stack configures) names the Lambda alias that was to answer, and by
// that its version. An answer is the gateway's own if it has x-amzn-ErrorType.
func ByAlias(c Classifier, versions map[string]string) Classifier {
	known := make(map[string][]byte, len(versions))
	for alias, version := range versions {
		known[alias] = []byte(version)
	}
	return func(a Answer) ([]byte, Cause) {
		version, cause := c(a)
		if len(version) > 0 || cause == Conflict || a.Status < 500 || a.Header("X-Amzn-Errortype") == nil {
			return version, cause
		}
		if v, ok := known[string(aliasMember.scalar(a.Body))]; ok {
			return v, ""
		}
		return nil, cause
	}
}
