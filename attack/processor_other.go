//go:build !unix

package attack

import "time"

// processorTime is not known here: that the generator is at its limit shows in its lateness only.
func processorTime() time.Duration { return 0 }
