package attack

import (
	"testing"
	"time"
)

// BenchmarkTally adds hits as they come at 5,000/s, sealing every 500.
func BenchmarkTally(b *testing.B) {
	var at time.Duration
	t := newTally(Plan{}, func() time.Duration { return at }, 0)
	t.due = func(before time.Duration) uint64 { return uint64(before / (200 * time.Microsecond)) }
	versions := [2][]byte{[]byte("1"), []byte("2")}
	b.ReportAllocs()
	for i := range b.N {
		due := time.Duration(i) * 200 * time.Microsecond
		spread := time.Duration(i*7919%997) * 20 * time.Microsecond
		t.sent(due, due+50*time.Microsecond+spread/10, false)
		t.answered(&outcome{due: due, sent: due + 50*time.Microsecond, answered: due + time.Millisecond + spread, version: versions[i%2]})
		if at = due; i%500 == 499 {
			t.sealComplete()
			t.sealed()
		}
	}
}
