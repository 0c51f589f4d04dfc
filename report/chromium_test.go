package report_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/report"
)

// browser finds Chromium, or skips.
func browser(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no chromium, chromium-browser or google-chrome in PATH: that the page draws its charts was not tested (apt-get install chromium)")
	return ""
}

// loaded opens a page and returns what became of it, and what the console says.
func loaded(t *testing.T, chromium, address string) (dom, console string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir="+t.TempDir(), "--enable-logging=stderr", "--virtual-time-budget=2000",
		"--dump-dom", address)
	var out, trouble bytes.Buffer
	c.Stdout, c.Stderr = &out, &trouble
	c.WaitDelay = 5 * time.Second
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", chromium, err, trouble.String())
	}
	for line := range strings.Lines(trouble.String()) {
		if strings.Contains(line, "CONSOLE") {
			console += line
		}
	}
	return out.String(), console
}

var drawnPlots = regexp.MustCompile(`data-chart="([^"]*)"[^>]*data-points="(\d+)"`)

// The page draws each of its charts in a browser, with data in it, and the console stays empty.
func TestChromium(t *testing.T) {
	chromium := browser(t)
	hostile := cases["hostile"]
	hostile.names[0] = "</script><script>alert(1)</script>"
	for name, html := range map[string]string{"promote": page(t, cases["promote"].analysis(t)), "hostile": page(t, hostile.analysis(t)),
		"empty": page(t, cases["empty"].analysis(t)), "comparison": compared(t, "promote", "reject-slow", "html")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "report.html")
			if err := os.WriteFile(file, []byte(html), 0o644); err != nil {
				t.Fatal(err)
			}
			dom, console := loaded(t, chromium, "file://"+file)
			if console != "" {
				t.Errorf("the console says: %s", console)
			}
			wanted := strings.Count(scripts.ReplaceAllString(html, ""), `data-chart="`)
			if got := regexp.MustCompile(`data-drawn="(\d+)"`).FindStringSubmatch(dom); got == nil || got[1] != strconv.Itoa(wanted) {
				t.Errorf("drawn: %v, want %d charts", got, wanted)
			}
			plots := drawnPlots.FindAllStringSubmatch(dom, -1)
			if len(plots) != wanted || strings.Count(dom, "<canvas") != wanted {
				t.Errorf("%d plots with points and %d canvases, want %d", len(plots), strings.Count(dom, "<canvas"), wanted)
			}
			for _, p := range plots {
				if p[2] == "0" {
					t.Errorf("chart %s is blank", p[1])
				}
			}
		})
	}
}

// The live page becomes what the events say, and is at the end what the report is.
func TestChromiumLive(t *testing.T) {
	chromium := browser(t)
	t.Parallel()
	states := []analyze.Analysis{{}, cases["crashed"].analysis(t), cases["inconclusive"].analysis(t), cases["promote"].analysis(t)}
	states[0].Header = states[1].Header
	states[1].End.Reason, states[2].End.Reason = "", ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/events" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			if err := report.LivePage(w, states[0]); err != nil {
				t.Error(err)
			}
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, a := range states[1:] {
			update, err := report.LiveUpdate(a)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "data: %s\n\n", update)
		}
	}))
	defer server.Close()
	dom, console := loaded(t, chromium, server.URL)
	if console != "" {
		t.Errorf("the console says: %s", console)
	}
	_, body, _ := strings.Cut(scripts.ReplaceAllString(page(t, states[3]), ""), `<main id="main">`)
	if !strings.Contains(dom, "The run has ended.") || !strings.Contains(dom, "<title>PROMOTE") {
		t.Error("the page does not say that the run has ended")
	}
	if got, want := len(drawnPlots.FindAllString(dom, -1)), strings.Count(body, "data-chart="); got != want || want == 0 {
		t.Errorf("%d charts drawn, want %d", got, want)
	}
	for _, sentence := range regexp.MustCompile(`<tr class="say"><td colspan="7">[^<]*`).FindAllString(body, -1) {
		if !strings.Contains(dom, strings.NewReplacer("&#43;", "+", "&#39;", "'").Replace(sentence)) {
			t.Errorf("not on the page: %s", sentence)
		}
	}
}

// Ten minutes of traffic make a page that can be sent by mail.
func TestHTMLSize(t *testing.T) {
	if testing.Short() {
		t.Skip("ten minutes take seconds to judge")
	}
	a := cases["long"].analysis(t)
	whole(t, "long", a)
	if n := len(a.Timeline.Moments); n < 300 || n > 512 {
		t.Errorf("%d moments", n)
	}
	if n := len(page(t, a)); n >= 400_000 {
		t.Errorf("%d bytes, want less than 400,000", n)
	} else {
		t.Logf("%d bytes", n)
	}
}
