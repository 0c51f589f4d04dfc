package emulator

import "sync/atomic"

// minutes hold a number for each minute of the last hour, without a lock.
type minutes [60]atomic.Uint64 // the minute since 1970 above valueBits, its number below

const valueBits = 36

func (m *minutes) update(minute int64, next func(value uint64) uint64) {
	slot := &m[minute%60]
	for {
		old := slot.Load()
		value, at := old&(1<<valueBits-1), int64(old>>valueBits)
		if at > minute { // an hour late
			return
		}
		if at < minute {
			value = 0
		}
		changed := uint64(minute)<<valueBits | next(value)
		if changed == old || slot.CompareAndSwap(old, changed) {
			return
		}
	}
}

func (m *minutes) count(minute int64) {
	m.update(minute, func(value uint64) uint64 { return value + 1 })
}

func (m *minutes) max(minute int64, n int64) {
	m.update(minute, func(value uint64) uint64 { return max(value, uint64(n)) })
}

// at says what a minute's number is, if it has one.
func (m *minutes) at(minute int64) (value uint64, known bool) {
	slot := m[minute%60].Load()
	return slot & (1<<valueBits - 1), int64(slot>>valueBits) == minute
}

// gauge is a number of things at once, with its peak of each minute.
type gauge struct {
	now   atomic.Int64
	peaks minutes
}

func (g *gauge) enter(minute int64) { g.peaks.max(minute, g.now.Add(1)) }
func (g *gauge) leave()             { g.now.Add(-1) }
