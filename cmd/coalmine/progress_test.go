package main

import (
	"testing"
	"time"
)

// A log is told a lot at first, and never stays quiet for so long that a pipeline would think the run hangs.
func TestPause(t *testing.T) {
	lines := 0
	for at := time.Duration(0); at < 15*time.Minute; at += pause(at) {
		if lines++; pause(at) < time.Second || pause(at) > 30*time.Second {
			t.Errorf("%s into the phase: quiet for %s", at, pause(at))
		}
	}
	if lines < 40 || lines > 80 {
		t.Errorf("a quarter of an hour has %d lines, want 40 to 80", lines)
	}
}
