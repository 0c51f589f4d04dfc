package main

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// An attack goes where it is told to, as its pacer says; what leaves this machine is known, wherever the URL points.
func TestAttackConnectsElsewhere(t *testing.T) {
	beside(t)
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	loop, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "api.example.com") {
			w.WriteHeader(http.StatusTeapot)
		}
	})}
	go s.Serve(socket)
	go s.Serve(loop)
	defer s.Close()
	_, port, _ := net.SplitHostPort(loop.Addr().String())
	for _, args := range [][]string{
		{"--url", "http://api.example.com/x", "--unix-socket", path, "--pacer", "steps:100/s:1s"},
		{"--url", "http://api.example.com:" + port + "/x", "--resolve", "API.example.COM:" + port + ":127.0.0.1", "--rate", "100", "--warmup", "100ms"},
		{"--url", "http://api.example.com:" + port + "/x", "--resolve", "api.example.com:" + port + ":127.0.0.1", "--pacer", "ramp:0:200/s:300ms", "--engine", "vegeta"},
	} {
		code, stdout, stderr := coalmine(t, t.Context(), nil, append([]string{"attack", "--duration", "300ms", "--format", "json", "--quiet"}, args...)...)
		var got struct{ Hits int }
		if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || got.Hits != 30 || strings.Contains(stdout, "4xx") {
			t.Errorf("%q: exit %d, %v, %d hits: %s%s", args, code, err, got.Hits, stderr, stdout)
		}
	}
	for says, args := range map[string][]string{
		"--resolve: want HOST:PORT:ADDRESS like":                                                             {"--resolve", "a:80"},
		"--resolve: other:80 is not the host and port of the URL":                                            {"--resolve", "other:80:127.0.0.1"},
		"--resolve and --unix-socket: want one of them":                                                      {"--resolve", "localhost:80:127.0.0.1", "--unix-socket", "a"},
		"--rate and --pacer: want one of them":                                                               {"--rate", "5", "--pacer", "ramp:1:2:1s"},
		"--pacer: ramp: want it like ramp:100/s:500/s:60s":                                                   {"--pacer", "ramp:1"},
		`--rate: want requests per time like 500, 500/s or 30/m, at least 0.001 and at most 1000000, got ""`: {"--rate", ""},
		"--pacer: want requests per time":                                                                    {"--pacer", ""},
		"--warmup: want 0 or more, got -1s":                                                                  {"--warmup", "-1s"},
		`engine: "wrk": want "vegeta"`:                                                                       {"--engine", "wrk"},
		"proxy: want a URL like":                                                                             {"--proxy", "there"},
		"--rate max: only on loopback":                                                                       {"--rate", "max", "--resolve", "localhost:80:192.0.2.1"},
		"--rate: 5000/s is above --max-rate 1000/s, the limit off lo":                                        {"--rate", "5000", "--proxy", "http://127.0.0.1:1"},
		"--pacer: 5000/s at its peak is above --max-rate 1000/s, the":                                        {"--pacer", "ramp:1:5000/s:1s", "--resolve", "localhost:80:192.0.2.1"},
	} {
		code, _, stderr := coalmine(t, t.Context(), nil, append([]string{"attack", "--url", "http://localhost/x"}, args...)...)
		if code != 2 || !strings.Contains(stderr, says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, %q: want 2, %q", args, code, stderr, says)
		}
	}
	for _, args := range [][]string{{"run", "products"}, {"verify", "--url", "http://localhost/x", "--expect", "1", "--classify", "header:V"}} {
		if code, _, stderr := coalmine(t, t.Context(), nil, append(args, "--rate", "")...); code != 2 || !strings.Contains(stderr, "--rate: want requests per time") {
			t.Errorf("%q: exit %d, %q", args, code, stderr)
		}
	}
}
