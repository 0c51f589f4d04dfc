package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"coalmine/attack"
	"coalmine/scenarios/stage"
)

// requests says how what is sent is made and noted down, whatever it is sent to.
type requests struct {
	headers          []string
	headerCommands   []string
	refresh          time.Duration
	keyFile, keyEnv  string
	sigv4            string
	cacheBust        string
	requestIDs       bool
	hits, hitsFormat string
	hitsSample       string
	timeoutOfCommand time.Duration // 0: commandTimeout
	header           http.Header   // as check has read it
	commands         []headerCommand
	key              string
	bust             attack.CacheBust
	signing          *stage.Signing
	log              *attack.HitLog
	logFile          *os.File
	drain            *drain // to it
	stopCommands     func() // and waits until they have
}

const usualRefresh = 45 * time.Minute // tokens mostly last an hour

func (q *requests) flags(f *pflag.FlagSet) {
	f.StringArrayVarP(&q.headers, "header", "H", nil, "`HEADER` as \"Name: value\", repeatable; values are never written anywhere")
	f.StringArrayVar(&q.headerCommands, "header-command", nil, "`NAME=COMMAND`: a header whose value the command prints; run without a shell and unable to ask at the terminal, repeatable")
	f.DurationVar(&q.refresh, "refresh", usualRefresh, "run --header-command anew so often; 0 for never")
	f.StringVar(&q.keyFile, "api-key-file", "", "`FILE` that holds the API key, sent as x-api-key")
	f.StringVar(&q.keyEnv, "api-key-env", "", "environment variable `NAME` that holds the API key")
	f.StringVar(&q.sigv4, "sigv4", "", "sign requests by AWS signature version 4, for [REGION/]`SERVICE` (execute-api if left out: --sigv4)")
	f.Lookup("sigv4").NoOptDefVal = "execute-api"
	f.StringVar(&q.cacheBust, "cache-bust", "", "`KIND:NAME`: a value of its own with each request, query:NAME or header:NAME")
	f.BoolVar(&q.requestIDs, "request-ids", false, requestIDsHelp)
	f.StringVar(&q.hits, "hits", "", "`FILE` for each single hit, which vegeta report and vegeta plot read; the attack name is the version")
	f.StringVar(&q.hitsFormat, "hits-format", "gob", "encoding of --hits, vegeta's: gob, json or csv")
	f.StringVar(&q.hitsSample, "hits-sample", "", "at most so many hits in --hits, like 100/s (default all)")
}

// check reads all that can be read before anybody is asked anything.
func (q *requests) check(w world) (err error) {
	if q.header, err = parseHeaders(q.headers); err != nil {
		return err
	}
	q.commands = nil
	for _, s := range q.headerCommands {
		c, err := parseHeaderCommand(s)
		if err != nil {
			return usagef("--header-command: %w", err)
		}
		q.commands = append(q.commands, c)
	}
	if q.refresh != 0 && q.refresh < time.Second {
		return usagef("--refresh: want at least 1s, like 45m, or 0 for never, got %s", q.refresh)
	}
	if len(q.commands) == 0 && q.refresh != usualRefresh {
		return usagef("--refresh is about --header-command")
	}
	if q.key, err = q.apiKey(w); err != nil {
		return err
	}
	if q.sigv4 != "" {
		signing, err := stage.ParseSigning(q.sigv4)
		if err != nil {
			return usagef("--sigv4: %w", err)
		}
		q.signing = &signing
	}
	if q.cacheBust != "" {
		if q.bust, err = attack.ParseCacheBust(q.cacheBust); err != nil {
			return usagef("--cache-bust: %w", err)
		}
	}
	_, err = q.sample()
	return err
}

func (q *requests) sample() (float64, error) {
	if q.hits == "" && (q.hitsSample != "" || q.hitsFormat != "gob") {
		return 0, usagef("--hits-format and --hits-sample are about --hits FILE")
	}
	switch q.hitsFormat {
	case "gob", "json", "csv":
	default:
		return 0, usagef("--hits-format: want gob, json or csv, got %q", q.hitsFormat)
	}
	if q.hitsSample == "" {
		return 0, nil
	}
	rate, err := attack.ParseRate(q.hitsSample)
	if err != nil {
		return 0, usagef("--hits-sample: %w", err)
	}
	return attack.PerSecond(rate), nil
}

func parseHeaders(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usagef(`--header: want "Name: value", got one without a colon or a name`)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, nil
}

// apiKey reads the key from where it is not seen by who lists processes. Messages never repeat what was read.
func (q *requests) apiKey(w world) (string, error) {
	var key string
	switch {
	case q.keyFile != "" && q.keyEnv != "":
		return "", usagef("--api-key-file and --api-key-env: want one of them")
	case q.keyEnv != "":
		if key = w.env(q.keyEnv); key == "" {
			return "", usagef("--api-key-env: the environment has no %s, or it is empty", q.keyEnv)
		}
	case q.keyFile != "":
		text, err := readFile(w, q.keyFile)
		if err != nil {
			return "", usagef("--api-key-file: %w", err)
		}
		key = strings.TrimSpace(string(text))
		if key == "" || strings.ContainsAny(key, "\r\n") {
			return "", usagef("--api-key-file: want one line, the key, in %s", q.keyFile)
		}
	}
	return key, nil
}

// readFile reads a file, or standard input where that is named -.
func readFile(w world, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(w.stdin)
	}
	return os.ReadFile(name)
}

// ready prepares what takes time: headers from commands, credentials to sign with. What is wrong with any of it is told
// before anything is sent; done ends it.
func (q *requests) ready(ctx context.Context, w world, a cloud, to string) (apply func(*attack.Plan), err error) {
	if err := q.openHits(); err != nil {
		return nil, err
	}
	live := new(attack.Live)
	if err := q.runCommands(ctx, live); err != nil {
		return nil, err
	}
	var sign attack.Signer
	if q.signing != nil {
		config := stage.Config{Endpoint: w.env("AWS_ENDPOINT_URL"), Region: a.region, Profile: a.profile}
		if sign, err = q.signing.Signer(ctx, config, to); err != nil {
			return nil, usagef("--sigv4: %w", err)
		}
	}
	return func(p *attack.Plan) {
		header := p.Target.Header.Clone()
		if header == nil {
			header = http.Header{}
		}
		for name, values := range q.header {
			header[name] = append(header[name], values...)
		}
		if q.key != "" {
			header.Set("X-Api-Key", q.key)
		}
		p.Target.Header, p.Sign, p.CacheBust = header, sign, q.bust
		p.RequestIDs = p.RequestIDs || q.requestIDs
		if len(q.commands) > 0 {
			p.Live = live
		}
		p.Trouble = func(what string) { fmt.Fprintln(w.stderr, "warning: "+what) }
	}, nil
}

// openHits opens the hit log, before anything is sent: what cannot be written is known then.
func (q *requests) openHits() (err error) {
	if q.hits == "" {
		return nil
	}
	if q.logFile, err = openTo(q.hits, 0); err != nil {
		return usagef("--hits: %w", err)
	}
	return nil
}

// logHits begins the hit log, last of all: what was there is gone then.
func (q *requests) logHits(p *attack.Plan) error {
	if q.hits == "" {
		return nil
	}
	sample, err := q.sample()
	if err != nil {
		return err
	}
	if info, err := q.logFile.Stat(); err == nil && info.Mode().IsRegular() { // nothing is to be cut from a pipe
		if err := q.logFile.Truncate(0); err != nil {
			return usagef("--hits: %w", err)
		}
	}
	q.drain = &drain{file: q.logFile, pause: usualPause}
	if q.log, err = attack.NewHitLog(q.drain, q.hitsFormat, sample); err != nil {
		return usagef("--hits: %w", err)
	}
	p.Hits = q.log
	return nil
}

// done ends what ready began, and says what became of the hit log: one that is not whole is an error.
func (q *requests) done(w world) error {
	if q.stopCommands != nil {
		q.stopCommands()
	}
	if q.logFile == nil {
		return nil
	}
	defer func() { q.log, q.logFile = nil, nil }()
	if q.log == nil { // nothing was sent
		q.logFile.Close()
		return nil
	}
	q.drain.urge() // the run is over
	said, err := q.log.Close()
	if lost := q.logFile.Close(); err == nil {
		err = lost
	}
	if err != nil {
		lost := said.Lost + said.Dropped
		return fmt.Errorf("--hits %s is not whole: %w, %d of %d hits are lost", q.hits, err, lost, said.Written+lost)
	}
	if said == (attack.HitsLogged{}) {
		return nil // nothing was sent
	}
	line := fmt.Sprintf("hits: %d in %s", said.Written, q.hits)
	if said.Sampled > 0 {
		line += fmt.Sprintf(", %d left out of the sample", said.Sampled)
	}
	if said.Dropped > 0 {
		line += fmt.Sprintf(", %d dropped because the log could not keep up", said.Dropped)
	}
	if said.Moved > 0 {
		line += fmt.Sprintf(", %d answered so late that they have a later timestamp", said.Moved)
	}
	fmt.Fprintln(w.stderr, line)
	return nil
}

// several are the targets of --targets.
func readTargets(w world, name, format string) ([]attack.Target, error) {
	text, err := readFile(w, name)
	if err != nil {
		return nil, usagef("--targets: %w", err)
	}
	targets, err := attack.ReadTargets(strings.NewReader(string(text)), format)
	if err != nil {
		return nil, usagef("--targets %s: %w", name, err)
	}
	return targets, nil
}

// origin is what a URL has before its path, "" where it is only a path.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
