package emulator

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBoto3, like TestCLI, drives the emulator with a client that shares no code with it, nor with the SDK for Go.
func TestBoto3(t *testing.T) {
	if testing.Short() {
		t.Skip("boto3 takes seconds")
	}
	if exec.Command("python3", "-c", "import boto3").Run() != nil {
		t.Skip("python3 with boto3 is not installed: the independent check of the wire protocol is left out")
	}
	t.Parallel()
	s := start(t, Faults{Seed: 7})
	cmd := exec.Command("python3", "testdata/walkthrough.py", s.server.URL())
	cmd.Env = clientEnv(t)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// clientEnv keeps the clients off the developer's own configuration, and off AWS.
func clientEnv(t *testing.T) []string {
	none := filepath.Join(t.TempDir(), "none")
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	return append(env, "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION=eu-central-1", "AWS_PAGER=",
		"AWS_CONFIG_FILE="+none, "AWS_SHARED_CREDENTIALS_FILE="+none, "AWS_EC2_METADATA_DISABLED=true", "NO_PROXY=127.0.0.1")
}
