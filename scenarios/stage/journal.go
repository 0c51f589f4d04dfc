package stage

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Journal is a stage as it was before coalmine's first change, and every
// change since, on disk before the request leaves. It is also the lock: two
// coalmines never act on one stage from one journal directory at once.
//
// The file is newline-delimited JSON and a history: a story ends with an "end"
// record and stays, because "canary rollback" needs the stage as it was before
// the last promote, and an incident needs to know what was done. Stage
// variables are in it, since they are what is restored; credentials are not.
type Journal struct {
	path string
	at   control
	ref  Ref // the splitter, without a method

	mu      sync.Mutex
	file    *os.File
	size    int64 // of the whole lines
	stories []Story
	open    bool // the last story is begun and not ended
	asWas   bool // the stage was read since the last step, and is as before the story
	untidy  bool // something of the story's is left that only its recovery deletes
}

// control says which control plane a journal is about.
type control struct {
	Account  string `json:"account"`
	Region   string `json:"region"`
	Endpoint string `json:"endpoint,omitempty"`
}

// OpenJournal opens the stage's journal in a directory, both made when
// missing, and locks it until Close. It refuses when another process holds it,
// and when its last story is unfinished.
func (c *Client) OpenJournal(dir string, ref Ref) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	path := filepath.Join(dir, c.journalName(ref))
	j, err := openJournal(path)
	if err != nil {
		return nil, err
	}
	j.at, j.ref = c.control(), ref
	if last := j.last(); last != nil && last.Unfinished() {
		err := fmt.Errorf("journal %s: %w of %s (%s); first run: coalmine canary recover %s",
			path, ErrUnfinished, last.At.Format(time.RFC3339), last.verbs(), path)
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func (c *Client) control() control {
	return control{Account: c.account, Region: c.region, Endpoint: c.endpoint}
}

// journalName is ACCOUNT-REGION-API-STAGE.ndjson, and lambda-FUNCTION-ALIAS for
// a weighted alias. Off AWS the endpoint's
// address comes before it: two emulators are two clouds, whatever account they
// say they are.
func (c *Client) journalName(ref Ref) string {
	name := strings.Join([]string{c.account, c.region, ref.API, ref.Stage}, "-") + ".ndjson"
	if ref.Weighted() {
		name = strings.Join([]string{c.account, c.region, "lambda", ref.Function, ref.Alias}, "-") + ".ndjson"
	}
	if u, err := url.Parse(c.endpoint); err == nil && c.endpoint != "" && !c.Real() {
		name = u.Host + "-" + name
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:[]`, r) {
			return '_'
		}
		return r
	}, name)
}

func openJournal(path string) (*Journal, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		j := &Journal{path: path, file: file}
		if err := j.take(); err != nil {
			file.Close()
			return nil, fmt.Errorf("journal %s: %w", path, err)
		}
		// Another process may have taken an empty one away since it was opened here: the lock is on no file then.
		is, err := os.Stat(path)
		was, err2 := file.Stat()
		if err == nil && err2 == nil && os.SameFile(is, was) {
			return j, nil
		}
		file.Close()
		if err := errors.Join(err, err2); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("journal: %w", err)
		}
	}
}

// take locks and reads the file, cuts a torn last line off, and stands at the
// end.
func (j *Journal) take() error {
	if err := lock(j.file); err != nil {
		return err
	}
	data, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	stories, whole, err := parse(data)
	if err != nil {
		return err
	}
	j.stories, j.size = stories, int64(whole)
	if err := j.rewind(); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(j.path))
}

// rewind cuts off what is no whole line.
func (j *Journal) rewind() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	_, err := j.file.Seek(j.size, io.SeekStart)
	return err
}

// Stories reads a journal without taking it: what was done to the stage,
// oldest first.
func Stories(path string) ([]Story, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	stories, _, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	return stories, nil
}

// Path is the journal's file.
func (j *Journal) Path() string { return j.path }

// Stories are what the journal holds, oldest first.
func (j *Journal) Stories() []Story {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Story(nil), j.stories...)
}

// BeforePromote is the stage as it was before the last promote in the
// journal, for Rollback; false when there was none.
func (j *Journal) BeforePromote() (State, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if steps := j.sincePromote(); len(steps) > 0 {
		return *steps[0].Before, true
	}
	return State{}, false
}

// Promoted is what was judged before the last promote in the journal, for
// Repoint; false when there was none.
func (j *Journal) Promoted() (Measured, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if steps := j.sincePromote(); len(steps) > 0 && steps[0].Judged != nil {
		return *steps[0].Judged, true
	}
	return Measured{}, false
}

// sincePromote are the steps from the last promote's first on, in later
// stories too: a repoint may be one of its own.
func (j *Journal) sincePromote() []Step {
	var later []Step
	for _, story := range slices.Backward(j.stories) {
		if story.rolledBack() {
			return nil // the promote before it is undone
		}
		for i, step := range slices.Backward(story.Steps) {
			if step.Verb == verbPromote && step.Before != nil && step.done() {
				return slices.Concat(story.Steps[i:], later)
			}
		}
		later = slices.Concat(story.Steps, later)
	}
	return nil
}

// Done ends the story: the stage is where it was meant to be, and restored
// says whether that is where it was before. Without a change there is no story
// and nothing is written; nor is anything while a deployment is left that Recover
// can still delete, as a note of the change says.
func (j *Journal) Done(restored bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.open || j.untidy {
		return nil
	}
	if err := j.write(record{End: &End{At: now(), Restored: restored}}); err != nil {
		return err
	}
	j.open = false
	return nil
}

// Close gives the lock back. A story that is not Done stays unfinished, and
// is Recover's; but one whose stage was seen to be as before (a change that AWS
// refused, or that was undone) needs no recovery and ends here. A journal
// without any story is no file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	var err error
	if j.open && j.asWas && !j.untidy && !j.last().deployed() {
		err = j.write(record{End: &End{At: now(), Restored: true}})
		j.open = false
	}
	if j.size == 0 {
		os.Remove(j.path) // nothing was done. Best effort, while it is locked: an empty one does no harm.
	}
	err = errors.Join(err, j.file.Close())
	j.file = nil
	return err
}

// Before is the stage as it was before the story under way; false when nothing
// was changed yet, which is also so when AWS has refused all that was asked.
func (j *Journal) Before() (State, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.open || !j.last().Unfinished() {
		return State{}, false
	}
	return j.last().Before, true
}

// saw notes what a reading shows.
func (j *Journal) saw(p position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asWas = j.open && len(p.differ(j.last().start())) == 0
}

// onlyTheirs notes that all is as before a verb, but for what is somebody else's: a story that began there has nothing left
// to recover.
func (j *Journal) onlyTheirs(before position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asWas = j.open && len(before.differ(j.last().start())) == 0
}

// keepOpen leaves the story under way unfinished, whatever was read, and whoever calls it done; or no longer.
func (j *Journal) keepOpen(untidy bool) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.untidy = untidy && j.open
}

// current is the story under way, nil between stories.
func (j *Journal) current() *Story {
	if j == nil || !j.open {
		return nil
	}
	return j.last()
}

func (j *Journal) last() *Story {
	if len(j.stories) == 0 {
		return nil
	}
	return &j.stories[len(j.stories)-1]
}

// about refuses a journal of another stage.
func (j *Journal) about(c *Client, ref Ref) error {
	switch {
	case j == nil:
		return errors.New("no journal")
	case j.at != c.control() || !j.ref.same(ref):
		return fmt.Errorf("journal %s is another stage's", j.path)
	}
	return nil
}

// begin writes the stage as it is, once a story.
func (j *Journal) begin(ref Ref, before State) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open {
		return nil
	}
	var id [4]byte
	rand.Read(id[:])
	before.Tags = nil // not restored, so not kept
	story := Story{ID: hex.EncodeToString(id[:]), At: now(), control: j.at, Ref: ref, Before: before}
	if err := j.write(record{Story: &story}); err != nil {
		return err
	}
	j.open = true
	return nil
}

func (j *Journal) step(s Step) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.At = now()
	j.asWas = j.asWas && s.Request == "DeleteDeployment" // which changes nothing of the stage's
	return j.write(record{Begun: &s})
}

func (j *Journal) done(o Outcome) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	o.At = now()
	return j.write(record{Done: &o})
}

func (j *Journal) failed(o Outcome) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	o.At = now()
	return j.write(record{Fail: &o})
}

// write appends one line and waits until it is on disk.
func (j *Journal) write(r record) error {
	if j.file == nil {
		return fmt.Errorf("journal %s: closed", j.path)
	}
	if r.Story == nil && !j.open {
		return fmt.Errorf("journal %s: no story was begun", j.path)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	n, err := j.file.Write(append(line, '\n'))
	if err != nil {
		// Best effort: the next line must not follow half of this one.
		return fmt.Errorf("journal %s: %w", j.path, errors.Join(err, j.rewind()))
	}
	j.size += int64(n)
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	if r.Story != nil {
		j.stories = append(j.stories, *r.Story)
	} else {
		j.last().note(r)
	}
	return nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
