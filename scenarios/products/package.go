package products

import (
	"archive/zip"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options say what is uploaded.
type Options struct {
	// Package makes a release's deployment package, when one has to be uploaded. nil: a placeholder, for a control plane
	// that does not run what it is sent; AWS is refused it.
	Package func(ctx context.Context, release string) ([]byte, error)
	// Architecture that Package is for, as Go spells it; "": arm64.
	Architecture string
}

// FromSource makes packages of the real function: of the source in this program, built with the Go toolchain when the first
// is asked for, and once. Lambda wants linux and arm64, an emulator that runs packages the host's own. The function needs
// github.com/aws/aws-lambda-go; where that is in the module cache, nothing is downloaded.
func FromSource(goos, goarch string) Options {
	var mu sync.Mutex
	var program []byte
	return Options{Architecture: goarch, Package: func(ctx context.Context, release string) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if program == nil {
			var err error
			if program, err = compile(ctx, goos, goarch); err != nil {
				return nil, fmt.Errorf("build %s for %s/%s: %w", Function, goos, goarch, err)
			}
		}
		return pack(file{"bootstrap", 0o755, program}, file{"release", 0o644, []byte(release + "\n")})
	}}
}

//go:embed function/main.go function/build.mod function/build.sum
var source embed.FS

// ErrNoToolchain is that the function cannot be built here.
var ErrNoToolchain = errors.New("there is no go command on PATH: the function is built from source, install Go 1.26 or later (https://go.dev/dl)")

// Toolchain names the Go that FromSource builds with.
func Toolchain(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", ErrNoToolchain
	}
	said, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	return strings.TrimSpace(string(said)), nil
}

func compile(ctx context.Context, goos, goarch string) ([]byte, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, ErrNoToolchain
	}
	dir, err := os.MkdirTemp("", "coalmine-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// Not under these names in the repository: there they would make a module of their own, which cannot be embedded.
	for from, to := range map[string]string{"main.go": "main.go", "build.mod": "go.mod", "build.sum": "go.sum"} {
		text, err := source.ReadFile("function/" + from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), text, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", "bootstrap", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GO111MODULE=on", "GOWORK=off", "PWD="+dir)
	if out, err := build.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return nil, fmt.Errorf("go build: %w: %s (its one dependency comes from the module cache or the module proxy)", err, strings.Join(lines[max(0, len(lines)-3):], " | "))
	}
	return os.ReadFile(filepath.Join(dir, "bootstrap"))
}

type file struct {
	name string
	mode fs.FileMode
	data []byte
}

// pack makes the same bytes of the same files.
func pack(files ...file) ([]byte, error) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, each := range files {
		header := &zip.FileHeader{Name: each.name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(each.mode)
		f, err := w.CreateHeader(header)
		if err == nil {
			_, err = f.Write(each.data)
		}
		if err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

// placeholder is a package for a control plane that runs nothing it is sent. What matters of it is that releases differ, or
// Lambda would publish them as one version.
func placeholder(_ context.Context, release string) ([]byte, error) {
	script := fmt.Sprintf("#!/bin/sh\n# coalmine's demonstration function %s, release %s.\n"+
		"echo 'a placeholder for release %[2]s: coalmine stack up --exec uploads the real function' >&2\nexit 1\n", Function, release)
	return pack(file{"bootstrap", 0o755, []byte(script)})
}
