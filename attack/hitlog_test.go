package attack

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"github.com/tsenart/vegeta/v12/lib/plot"
)

// decoded reads a log as vegeta does, and holds it to what vegeta plot needs.
func decoded(t *testing.T, log []byte) (results []vegeta.Result) {
	t.Helper()
	read := vegeta.DecoderFor(bytes.NewReader(log))
	if read == nil {
		t.Fatalf("vegeta does not know %.100q", log)
	}
	drawn := plot.New()
	for {
		var r vegeta.Result
		if err := read(&r); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
		if err := drawn.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	drawn.Close()
	if _, err := drawn.WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	return results
}

// What vegeta reads back is what was sent and answered.
func TestHitLogIsReadByVegeta(t *testing.T) {
	t.Parallel()
	s := versions(t)
	for _, format := range []string{"gob", "json", "csv"} {
		var file bytes.Buffer
		log, err := NewHitLog(&file, format, 0)
		if err != nil {
			t.Fatal(err)
		}
		post := weighing("POST", "/orders?key=s3cret", 1)
		post.Body = []byte("12345")
		p := Plan{Target: vegeta.Target{URL: s.URL}, Targets: []Target{weighing("GET", "/products", 1), post},
			Rate: perSecond(500), MaxHits: 100, Classify: byHeader(t), Hits: log}
		began := time.Now()
		for range Run(t.Context(), p) {
		}
		said, err := log.Close()
		if err != nil || said != (HitsLogged{Written: 100}) {
			t.Fatalf("%s: %+v, %v", format, said, err)
		}
		if strings.Contains(file.String(), "s3cret") {
			t.Errorf("%s: the query is in it", format)
		}
		next, m := map[string]uint64{}, vegeta.Metrics{}
		bodies := uint64(0)
		for _, r := range decoded(t, file.Bytes()) {
			m.Add(&r)
			if r.Seq != next[r.Attack] || r.Code != 200 || r.Error != "" || r.BytesIn != 23 || r.Timestamp.Before(began) ||
				r.Latency <= 0 || r.Latency > 5*time.Second || !strings.HasPrefix(r.URL, s.URL+"/") {
				t.Fatalf("%s: %+v", format, r)
			}
			next[r.Attack]++
			bodies += r.BytesOut
		}
		m.Close()
		if next["1"] != 50 || next["2"] != 50 || bodies != 250 || m.Requests != 100 || m.Success != 1 {
			t.Errorf("%s: %v, %d bytes out, %+v", format, next, bodies, m)
		}
	}
}

// The real tool reads it, too, where there is one: go install github.com/tsenart/vegeta/v12@v12.13.0.
func TestHitLogIsReadByTheRealVegeta(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("vegeta")
	if err != nil {
		t.Skip("no vegeta on the PATH")
	}
	for _, format := range []string{"gob", "json", "csv"} {
		file := filepath.Join(t.TempDir(), "hits")
		write(t, file, format)
		for _, args := range [][]string{{"report", file}, {"plot", file}, {"encode", "--to", "json", file}} {
			out, err := exec.Command(tool, args...).CombinedOutput()
			if err != nil || len(out) == 0 || args[0] == "report" && !strings.Contains(string(out), "Requests      [total, rate, throughput]") {
				t.Errorf("%s %v: %v\n%.500s", format, args, err, out)
			}
		}
	}
}

func write(t *testing.T, name, format string) {
	t.Helper()
	var file bytes.Buffer
	log, err := NewHitLog(&file, format, 0)
	if err != nil {
		t.Fatal(err)
	}
	tell := log.hear(Plan{Target: target("http://127.0.0.1/")}, time.Now())
	for i := range 1000 {
		due := time.Duration(i) * time.Millisecond
		tell(&outcome{due: due, answered: due + time.Duration(i%7)*time.Millisecond, version: []byte("12")[i%2 : i%2+1], status: 200})
	}
	if said, err := log.Close(); err != nil || said.Written != 1000 {
		t.Fatal(said, err)
	}
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Hits come in any order; whatever it is, vegeta plot takes the log, and the sample is one hit of each slot, slow or fast.
func TestHitLogOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		perSecond float64
		written   uint64
	}{{0, 2000}, {100, 200}, {5000, 2000}} {
		var file bytes.Buffer
		log, err := NewHitLog(&file, "gob", c.perSecond)
		if err != nil {
			t.Fatal(err)
		}
		tell := log.hear(Plan{Target: target("http://127.0.0.1/")}, time.Unix(1_800_000_000, 0).UTC())
		for _, i := range random.Perm(2000) {
			due := time.Duration(i) * time.Millisecond
			tell(&outcome{due: due, answered: due + time.Second, version: []byte([]string{"1", "2", ""}[i%3])})
		}
		said, err := log.Close()
		if err != nil || said.Written != c.written || said.Written+said.Sampled != 2000 || said.Dropped+said.Moved != 0 {
			t.Errorf("%v/s: %+v, %v", c.perSecond, said, err)
		}
		last := time.Time{}
		for _, r := range decoded(t, file.Bytes()) {
			if r.Timestamp.Before(last) {
				t.Fatalf("%v/s: %s after %s", c.perSecond, r.Timestamp, last)
			}
			if gap := r.Timestamp.Sub(last); c.perSecond == 100 && !last.IsZero() && gap != 10*time.Millisecond {
				t.Errorf("sampled after %s", gap)
			}
			last = r.Timestamp
		}
	}
}

// One that comes when its place is written gets the timestamp of the last one there.
func TestHitLogStraggler(t *testing.T) {
	var file bytes.Buffer
	log, err := NewHitLog(&file, "json", 0)
	if err != nil {
		t.Fatal(err)
	}
	log.most = 1000
	base := time.Now()
	tell := log.hear(Plan{Target: target("http://127.0.0.1/")}, base)
	for i := range 5000 {
		due := time.Duration(i) * time.Microsecond
		for len(log.in) == cap(log.in) {
			time.Sleep(time.Millisecond)
		}
		tell(&outcome{due: due, answered: due + time.Millisecond, version: []byte("1")})
	}
	for len(log.in) > 0 {
		time.Sleep(time.Millisecond)
	}
	tell(&outcome{due: 0, answered: time.Minute, version: []byte("1"), class: Timeout})
	said, err := log.Close()
	if err != nil || said.Written != 5001 || said.Moved != 1 || said.Dropped != 0 {
		t.Errorf("%+v, %v", said, err)
	}
	for _, r := range decoded(t, file.Bytes()) {
		if r.Error == "timeout" && (r.Latency != time.Minute || !r.Timestamp.After(base)) {
			t.Errorf("%+v", r)
		}
	}
}

type stuck struct{ free chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.free
	return 0, errors.New("disk full")
}

// A disk that stands still holds nobody up: what finds the way full is counted. Its error is told at the end.
func TestHitLogNeverWaits(t *testing.T) {
	disk := stuck{make(chan struct{})}
	log, err := NewHitLog(disk, "csv", 0)
	if err != nil {
		t.Fatal(err)
	}
	tell := log.hear(Plan{Target: target("http://127.0.0.1/")}, time.Now().Add(-time.Hour))
	log.most = 1000
	const n = 4 * hitsWaiting
	for range n {
		tell(&outcome{version: []byte("1")})
	}
	close(disk.free)
	said, err := log.Close()
	if err == nil || err.Error() != "disk full" {
		t.Error(err)
	}
	if said.Dropped == 0 || said.Dropped > n {
		t.Errorf("%+v", said)
	}
	if _, err := NewHitLog(io.Discard, "xml", 0); err == nil || !strings.Contains(err.Error(), "want gob, json or csv") {
		t.Error(err)
	}
}

// limited takes so many bytes, and then no more.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	n, _ := l.Buffer.Write(p[:min(len(p), l.most-l.Len())])
	if n < len(p) {
		return n, errors.New("disk full")
	}
	return n, nil
}

// What was written of the hits, and what was lost, is told to the hit, also where writing fails in the middle of one.
func TestHitLogCountsWhatIsLost(t *testing.T) {
	for _, format := range []string{"csv", "json"} {
		for _, most := range []int{0, 1, 5000, 1<<16 - 1, 1 << 16, 1<<16 + 1, 100_000, 1 << 20} {
			const n = 2000
			disk := limited{most: most}
			log, err := NewHitLog(&disk, format, 0)
			if err != nil {
				t.Fatal(err)
			}
			tell := log.hear(Plan{Target: target("http://127.0.0.1/")}, time.Now())
			for i := range n {
				tell(&outcome{due: time.Duration(i) * time.Millisecond, answered: time.Minute, version: []byte("1")})
			}
			said, err := log.Close()
			whole := uint64(bytes.Count(disk.Bytes(), []byte("\n")))
			if said.Written != whole || said.Lost != n-whole || said.Dropped != 0 || (err != nil) != (whole < n) {
				t.Errorf("%s, %d bytes: %+v, %v; %d lines of %d", format, most, said, err, whole, n)
			}
		}
	}
}

// What a hit costs who carries it, "told", and what the goroutine that writes needs for it, which bounds the rate.
func BenchmarkHitLog(b *testing.B) {
	for _, format := range []string{"told", "gob", "json", "csv", "gob sampled"} {
		b.Run(format, func(b *testing.B) {
			kind, sampled := strings.CutSuffix(strings.Replace(format, "told", "gob", 1), " sampled")
			perSecond := 0.0
			if sampled {
				perSecond = 100
			}
			log, err := NewHitLog(io.Discard, kind, perSecond)
			if err != nil {
				b.Fatal(err)
			}
			tell := log.hear(Plan{Target: target("http://127.0.0.1/")}, time.Now().Add(-time.Hour))
			o := outcome{answered: time.Millisecond, version: []byte("1"), status: 200}
			b.ReportAllocs()
			for range b.N {
				o.due += 100 * time.Microsecond
				for format != "told" && len(log.in) == cap(log.in) {
					runtime.Gosched()
				}
				tell(&o)
			}
			log.Close()
		})
	}
}

// The whole cost of a hit on several targets, and with each hit kept: compare with BenchmarkHit.
func BenchmarkHitOnTargets(b *testing.B) {
	for _, kept := range []bool{false, true} {
		b.Run(map[bool]string{false: "tallied", true: "kept"}[kept], func(b *testing.B) {
			s := rawServer(b, says("HTTP/1.1 200 OK\nX-Lambda-Version: 1\nContent-Length: 0\n\n", false))
			p := Plan{Target: target(s.url), Targets: []Target{weighing("GET", "/a", 3), weighing("GET", "/b", 1)}, MaxHits: uint64(b.N), Connections: 8,
				Classify: byHeader(b), Baseline: "1", Canary: "2"}
			if kept {
				log, err := NewHitLog(io.Discard, "gob", 0)
				if err != nil {
					b.Fatal(err)
				}
				defer log.Close()
				p.Hits = log
			}
			b.ReportAllocs()
			for range Run(b.Context(), p) {
			}
		})
	}
}
