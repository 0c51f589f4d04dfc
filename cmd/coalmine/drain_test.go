package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"coalmine/attack"
)

// heldPipe is one whose reader has it open and never reads, and which is full.
func heldPipe(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("no mkfifo here: ", err)
	}
	pipe, err := syscall.Open(name, syscall.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(pipe) })
	for _, size := range []int{pipePart, 1} {
		for err = nil; err == nil; {
			_, err = syscall.Write(pipe, make([]byte, size))
		}
		if !errors.Is(err, syscall.EAGAIN) {
			t.Fatal(err)
		}
	}
	return name
}

// A hit log whose reader stopped reading ends the run all the same, and says what is lost of it.
func TestHitsIntoHeldPipe(t *testing.T) {
	t.Parallel()
	q := requests{hits: heldPipe(t), hitsFormat: "csv"}
	if err := q.openHits(); err != nil {
		t.Fatal(err)
	}
	s := newShop(t)
	plan := attack.Plan{Rate: attack.RateOf(200), Duration: 100 * time.Millisecond, Connections: 4, Timeout: time.Second}
	plan.Target.URL = s.url
	if err := q.logHits(&plan); err != nil {
		t.Fatal(err)
	}
	q.drain.pause = 20 * time.Millisecond
	for range attack.Run(t.Context(), plan) {
	}
	var said bytes.Buffer
	want := "--hits " + q.hits + " is not whole: its reader read nothing for 20ms, 20 of 20 hits are lost"
	if err := q.done(world{stderr: &said}); err == nil || err.Error() != want || said.Len() > 0 {
		t.Errorf("%v, want %s; %s", err, want, &said)
	}
}

// A run file whose reader stopped reading is one that cannot be written: the run is not held up without an end.
func TestRunFileIntoHeldPipe(t *testing.T) {
	t.Parallel()
	o := output{out: heldPipe(t)}
	if err := o.openFile(world{}, "attack", time.Now()); err != nil {
		t.Fatal(err)
	}
	defer o.file.Close()
	o.file.(*drain).pause = 20 * time.Millisecond
	if n, err := o.file.Write([]byte("{}\n")); n != 0 || err == nil || err.Error() != "its reader read nothing for 20ms" {
		t.Errorf("%d, %v", n, err)
	}
}

// paused notes what is written before and after each new limit.
type paused struct {
	bytes.Buffer
	at []int
}

func (p *paused) SetWriteDeadline(time.Time) error {
	p.at = append(p.at, p.Len())
	return os.ErrNoDeadline
}
func (p *paused) Close() error { return nil }

// A reader that is slow and goes on is given time for each part anew, and all of it while nobody waits.
func TestDrainGivesTimeForEachPart(t *testing.T) {
	var file paused
	d := drain{file: &file}
	text := strings.Repeat("x", 2*pipePart+1)
	if n, err := d.Write([]byte(text)); n != len(text) || err != nil || len(file.at) > 0 {
		t.Errorf("%d, %v, limits at %v", n, err, file.at)
	}
	d.urge()
	n, err := d.Write([]byte(text))
	at := len(text)
	if n != len(text) || err != nil || file.String() != text+text || len(file.at) != 4 ||
		[4]int(file.at) != [4]int{at, at, at + pipePart, at + 2*pipePart} {
		t.Errorf("%d, %v, limits at %v", n, err, file.at)
	}
}
