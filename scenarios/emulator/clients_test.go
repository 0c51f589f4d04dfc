package emulator

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// These two drive the emulator with clients that share no code with it, nor with the SDK for Go.

func TestBoto3(t *testing.T) {
	if testing.Short() {
		t.Skip("boto3 takes seconds")
	}
	if exec.Command("python3", "-c", "import boto3").Run() != nil {
		t.Skip("python3 with boto3 is not installed: the independent check of the wire protocol is left out")
	}
	s := start(t, Faults{Seed: 7})
	cmd := exec.Command("python3", "testdata/walkthrough.py", s.server.URL())
	cmd.Env = clientEnv(t)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("the AWS CLI takes seconds")
	}
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the AWS CLI is not installed: the independent check of the wire protocol is left out")
	}
	s := startStack(t, Faults{Seed: 7})
	env := clientEnv(t)
	run := func(args ...string) (string, error) {
		cmd := exec.Command("aws", append([]string{"--endpoint-url", s.server.URL(), "--region", "eu-central-1", "--output", "text"}, args...)...)
		cmd.Env = env
		var out, trouble bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &trouble
		err := cmd.Run()
		return strings.TrimSpace(out.String() + trouble.String()), err
	}
	// The CLI takes a second to start, so only the reads and patches that matter go through it; boto3 has done the rest.
	aws := func(line string) string {
		t.Helper()
		out, err := run(strings.Fields(line)...)
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", line, err, out)
		}
		return out
	}
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}

	check("account", aws("sts get-caller-identity --query Account"), account)
	check("aliases", aws("lambda list-aliases --function-name getProducts --query Aliases[].[Name,FunctionVersion]"), "dev\t3\nprod\t1\nstaging\t2")
	check("resources", aws("apigateway get-resources --query items[].path --rest-api-id "+s.api), "/\t/products")

	stage := " --stage-name prod --rest-api-id " + s.api
	update := "apigateway update-stage" + stage + " --patch-operations "
	check("canary", aws(update+"op=replace,path=/canarySettings/percentTraffic,value=50.0 "+
		"op=replace,path=/canarySettings/stageVariableOverrides/lambdaAlias,value=staging "+
		"--query canarySettings.[percentTraffic,stageVariableOverrides.lambdaAlias,useStageCache]"), "50.0\tstaging\tFalse")
	if out, err := run(strings.Fields("apigateway create-deployment" + stage)...); err == nil || !strings.Contains(out, "(BadRequestException)") {
		t.Errorf("a plain deployment on a canary: %v, %s", err, out)
	}
	second := aws("apigateway create-deployment --query id --canary-settings percentTraffic=50,stageVariableOverrides={lambdaAlias=staging}" + stage)
	if seen := s.versions("prod", 60); seen["1"] < 10 || seen["2"] < 10 || len(seen) != 2 {
		t.Errorf("canary at 50%%: %v", seen)
	}
	check("promote", aws(update+"op=replace,path=/canarySettings/percentTraffic,value=0.0 "+
		"op=copy,from=/canarySettings/stageVariableOverrides,path=/variables op=copy,from=/canarySettings/deploymentId,path=/deploymentId "+
		"--query [deploymentId,variables.lambdaAlias,canarySettings.percentTraffic]"), second+"\tstaging\t0.0")
	check("remove", aws(update+"op=remove,path=/canarySettings --query canarySettings"), "None")
	check("prod after", s.get("prod", "/products").header.Get("X-Lambda-Version"), "2")
	check("read back", aws("apigateway get-stage --query [deploymentId,variables.lambdaAlias]"+stage), second+"\tstaging")

	aws("apigateway delete-rest-api --rest-api-id " + s.api)
	aws("lambda delete-function --function-name getProducts")
	if out, err := run(strings.Fields("apigateway get-rest-api --rest-api-id " + s.api)...); err == nil || !strings.Contains(out, "(NotFoundException)") {
		t.Errorf("the API after its removal: %v, %s", err, out)
	}
}

// clientEnv keeps the clients off the developer's own configuration, and off AWS.
func clientEnv(t *testing.T) []string {
	none := filepath.Join(t.TempDir(), "none")
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	return append(env, "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION=eu-central-1", "AWS_PAGER=",
		"AWS_CONFIG_FILE="+none, "AWS_SHARED_CREDENTIALS_FILE="+none, "AWS_EC2_METADATA_DISABLED=true", "NO_PROXY=127.0.0.1")
}
