package analyze

import (
	"cmp"
	"slices"
)

// History is many runs, in order of time.
type History struct {
	Dir   string    `json:"dir"`
	Alpha float64   `json:"alpha"` // each interval misses its value with this probability at most
	Runs  []Run     `json:"runs"`
	Left  []LeftOut `json:"left_out"`
}

// LeftOut is a file that is in no history, and why.
type LeftOut struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

const historyAlpha = 0.05

// Add sets a run where its time is.
func (h *History) Add(file string, a Analysis) {
	h.Alpha = historyAlpha
	r := Summarise(a, historyAlpha)
	r.File = file
	at, _ := slices.BinarySearchFunc(h.Runs, r, func(x, y Run) int {
		return cmp.Or(x.Started.Compare(y.Started), cmp.Compare(x.File, y.File))
	})
	h.Runs = slices.Insert(h.Runs, at, r)
}
