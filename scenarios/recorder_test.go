package scenarios

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/attack"
)

// fullDisk has room for so many lines.
type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room--; d.room < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

// A run file without room for its first line is told before anything is sent; one that gets full later at once, and once.
func TestRecorderOnAFullDisk(t *testing.T) {
	h := analyze.Header{Format: analyze.Format, Command: "attack", Started: time.Now()}
	if _, err := NewRecorder(h, analyze.NewWriter(&fullDisk{})); err == nil || err.Error() != "run file: no space left" {
		t.Errorf("%v", err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	r, err := NewRecorder(h, analyze.NewWriter(&fullDisk{room: 3}))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	r.Traffic(t.Context(), attack.Plan{Target: vegeta.Target{URL: s.URL}, Rate: attack.RateOf(50), Duration: 500 * time.Millisecond, Phase: analyze.Attack,
		Trouble: func(what string) { told = append(told, what) }}, nil)
	a, err := r.Finish(analyze.End{Reason: "budget"})
	const want = "the run file cannot be written any more: no space left: what follows is not in it"
	if len(told) != 1 || told[0] != want || strings.Join(a.Notes, "") != want || err == nil {
		t.Errorf("told %q, notes %q, %v", told, a.Notes, err)
	}
	if a.Requests() != 25 {
		t.Errorf("%d requests: the load goes on", a.Requests())
	}
}
