package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"coalmine/analyze"
	"coalmine/scenarios/stage"
)

// WarrantFormat is the version of the verdict file's form.
const WarrantFormat = "coalmine.verdict/1"

// Warrant is a verdict that another process may act on, with what it was found about and until when it holds: judging
// and acting can then be two steps of a pipeline, with two sets of permissions. It is not signed: who may write the file
// may promote.
type Warrant struct {
	Format   string          `json:"format"`
	Tool     string          `json:"tool"`
	Verdict  analyze.Verdict `json:"verdict"`
	Sentence string          `json:"sentence"` // the run's last line
	Judged   time.Time       `json:"judged"`
	Expires  time.Time       `json:"expires"`
	RunFile  string          `json:"run_file,omitempty"`
	Measured stage.Measured  `json:"measured"`
}

// Usable refuses a warrant that does not warrant a promote at this time. Whether the stage is still the one that was
// measured is for the promote to see.
func (w Warrant) Usable(now time.Time) error {
	switch {
	case w.Verdict != analyze.Promote:
		return fmt.Errorf("the verdict is no PROMOTE: %s", strings.TrimPrefix(w.Sentence, "coalmine: "))
	case !now.Before(w.Expires):
		return fmt.Errorf("the verdict of %s expired at %s: judge again", w.Judged.Format(time.RFC3339), w.Expires.Format(time.RFC3339))
	case now.Before(w.Judged.Add(-time.Minute)):
		return fmt.Errorf("the verdict is of %s, which is yet to come: one of the clocks is wrong", w.Judged.Format(time.RFC3339))
	}
	return nil
}

// ReadWarrant reads a verdict file.
func ReadWarrant(path string) (w Warrant, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return w, fmt.Errorf("verdict file: %w", err)
	}
	if len(data) == 0 {
		return w, fmt.Errorf("verdict file %s is empty: the run that began it came to no verdict", path)
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return w, fmt.Errorf("verdict file %s: %w", path, err)
	}
	if w.Format != WarrantFormat {
		return w, fmt.Errorf("verdict file %s: want format %s, got %q", path, WarrantFormat, w.Format)
	}
	return w, nil
}

// WriteWarrant replaces the file at once: half a verdict is none.
func WriteWarrant(path string, w Warrant) error {
	w.Format = WarrantFormat
	data, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return fmt.Errorf("verdict file: %w", err)
	}
	half := path + ".part"
	if err := os.WriteFile(half, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("verdict file: %w", err)
	}
	if err := os.Rename(half, path); err != nil {
		return fmt.Errorf("verdict file: %w", errors.Join(err, os.Remove(half)))
	}
	return nil
}

// ClearWarrant empties the file before anything is judged: a run that breaks off must not leave an older run's verdict.
func ClearWarrant(path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return fmt.Errorf("verdict file: %w", err)
	}
	return nil
}
