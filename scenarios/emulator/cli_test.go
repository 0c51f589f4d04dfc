package emulator

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("update", false, "rewrite testdata/walkthrough-aws-cli.txt")

// TestCLI does the walkthrough with the AWS CLI and holds what was said to a transcript that a person can read. Ids and times
// are normalised, answers are written with their keys sorted: the CLI's versions differ in that.
func TestCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("the AWS CLI takes a second for each command")
	}
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the AWS CLI is not installed: the walkthrough and its transcript, testdata/walkthrough-aws-cli.txt, are left out")
	}
	t.Parallel()
	s := startStack(t, Faults{Seed: 7})
	w := &cli{stack: s, names: map[string]string{s.server.URL(): "URL", s.api: "API", s.resource: "RESOURCE", s.deployed: "DEPLOYMENT-1"}}
	w.start(clientEnv(t))
	const stage = "--rest-api-id API --stage-name prod"
	const update = "apigateway update-stage " + stage + " --patch-operations "

	w.say("The walkthrough with the AWS CLI against coalmine's emulator. Three versions of getProducts, three aliases, three stages:\n" +
		"the stage variable lambdaAlias names the alias. --endpoint-url, --region and --output are left out of the commands.\n" +
		"Rewritten by: go test ./scenarios/emulator -run TestCLI -update")

	w.step("Who am I, and what is there")
	w.aws("sts get-caller-identity")
	w.aws("apigateway get-rest-apis --query items[].[id,name]")
	w.aws("apigateway get-resources --rest-api-id API")
	w.aws("apigateway get-stages --rest-api-id API --query item[].[stageName,deploymentId,variables.lambdaAlias]")
	w.aws("lambda list-aliases --function-name getProducts --query Aliases[].[Name,FunctionVersion]")

	w.step("1. Test prod, staging and dev")
	w.requests("prod", 20, "1")
	w.requests("staging", 20, "2")
	w.requests("dev", 20, "3")

	w.step("2. Create a canary on prod: 50 % of the traffic")
	w.aws(update + "op=replace,path=/canarySettings/percentTraffic,value=50.0 op=replace,path=/canarySettings/useStageCache,value=false")

	w.step("3. Override the stage variable, so that the canary uses alias staging")
	w.aws(update + "op=replace,path=/canarySettings/stageVariableOverrides/lambdaAlias,value=staging --query canarySettings")
	w.requests("prod", 100, "1", "2")

	w.step("4. Deploy the API: not to the stage, but to its canary")
	w.refused("apigateway create-deployment "+stage, "BadRequestException")
	w.deploy("DEPLOYMENT-2", "--rest-api-id API")
	w.aws(update + "op=replace,path=/canarySettings/deploymentId,value=DEPLOYMENT-2")

	w.step("6. Test prod again")
	w.requests("prod", 100, "1", "2")

	w.step("7. Promote the canary with the default options, then delete what is left of it")
	w.aws(update + "op=replace,path=/canarySettings/percentTraffic,value=0.0 " +
		"op=copy,from=/canarySettings/stageVariableOverrides,path=/variables op=copy,from=/canarySettings/deploymentId,path=/deploymentId")
	w.requests("prod", 20, "2")
	w.aws(update + "op=remove,path=/canarySettings")

	w.step("8. Test prod once more")
	w.requests("prod", 20, "2")

	w.step("7b. Another canary, by one deployment, that is deleted and not promoted")
	w.deploy("DEPLOYMENT-3", stage+" --canary-settings percentTraffic=50,stageVariableOverrides={lambdaAlias=dev}")
	w.requests("prod", 100, "2", "3")
	w.aws(update + "op=remove,path=/canarySettings --query [deploymentId,variables,canarySettings]")
	w.requests("prod", 20, "2")
	w.refused(update+"op=copy,from=/canarySettings/deploymentId,path=/deploymentId", "BadRequestException")

	w.step("Remove everything")
	w.aws("apigateway delete-rest-api --rest-api-id API")
	w.aws("lambda delete-function --function-name getProducts")
	w.refused("apigateway get-rest-api --rest-api-id API", "NotFoundException")

	w.compare("testdata/walkthrough-aws-cli.txt")
}

// cli runs commands in which ids have names, and writes down what they answer.
type cli struct {
	*stack
	names   map[string]string // by id
	text    strings.Builder
	command func(args []string) (out, trouble string, ok bool)
}

// start runs the CLI's own entry point in one Python for all commands, which saves a second or more for each; a CLI that Python
// cannot import, as version 2's, is run once for each command.
func (w *cli) start(env []string) {
	w.Helper()
	driver := exec.Command("python3", "testdata/commands.py")
	driver.Env = env
	check := exec.Command("python3", "-c", "import awscli.clidriver")
	check.Env = env
	if check.Run() != nil {
		w.command = func(args []string) (string, string, bool) {
			cmd := exec.Command("aws", args...)
			cmd.Env = env
			var out, trouble bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &trouble
			err := cmd.Run()
			return out.String(), trouble.String(), err == nil
		}
		return
	}
	in, err := driver.StdinPipe()
	w.must(err)
	out, err := driver.StdoutPipe()
	w.must(err)
	driver.Stderr = os.Stderr
	w.must(driver.Start())
	w.Cleanup(func() {
		in.Close()
		if err := driver.Wait(); err != nil {
			w.Errorf("the AWS CLI's driver: %v", err)
		}
	})
	answers := json.NewDecoder(out)
	w.command = func(args []string) (string, string, bool) {
		w.must(json.NewEncoder(in).Encode(args))
		var a struct {
			Out, Trouble string
			Status       int
		}
		w.must(answers.Decode(&a))
		return a.Out, a.Trouble, a.Status == 0
	}
}

func (w *cli) say(text string) {
	fmt.Fprintf(&w.text, "# %s\n", strings.ReplaceAll(text, "\n", "\n# "))
}
func (w *cli) step(title string) { fmt.Fprintf(&w.text, "\n\n# %s\n", title) }

// aws is for commands that must work.
func (w *cli) aws(line string) {
	w.Helper()
	w.log("aws "+line, w.run(line))
}

// deploy names a new deployment.
func (w *cli) deploy(name, how string) {
	w.Helper()
	line := "apigateway create-deployment " + how + " --query id"
	out := w.run(line)
	w.names[strings.Trim(out, `"`)] = name
	w.log("aws "+line, out)
}

func (w *cli) run(line string) string {
	w.Helper()
	out, trouble, ok := w.command(w.arguments(line))
	if !ok {
		w.Fatalf("aws %s:\n%s", line, trouble)
	}
	return strings.TrimSpace(out)
}

// refused is for commands that must not work.
func (w *cli) refused(line, code string) {
	w.Helper()
	out, trouble, ok := w.command(w.arguments(line))
	if ok || !strings.Contains(trouble, "("+code+")") {
		w.Fatalf("aws %s: want %s\n%s%s", line, code, out, trouble)
	}
	_, said, _ := strings.Cut(trouble, "An error occurred")
	w.log("aws "+line, strings.TrimSpace("An error occurred"+said))
}

func (w *cli) arguments(line string) []string {
	for id, name := range w.names {
		line = strings.ReplaceAll(line, name, id)
	}
	return append([]string{"--endpoint-url", w.server.URL(), "--region", "eu-central-1", "--output", "json"}, strings.Fields(line)...)
}

// requests go to a stage; exactly these versions must answer.
func (w *cli) requests(stage string, n int, versions ...string) {
	w.Helper()
	seen := w.versions(stage, n)
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, versions) {
		w.Errorf("%s answers %v, want versions %v", stage, seen, versions)
	}
	var parts []string
	for _, v := range versions {
		parts = append(parts, fmt.Sprintf("%d times \"getProducts: all products v%s\"", seen[v], v))
	}
	w.log(fmt.Sprintf("curl URL/restapis/API/%s/_user_request_/products    # %d times", stage, n), strings.Join(parts, "\n"))
}

func (w *cli) log(command, answer string) {
	fmt.Fprintf(&w.text, "\n$ %s\n", command)
	if answer = w.normal(answer); answer != "" {
		fmt.Fprintln(&w.text, answer)
	}
}

func (w *cli) normal(answer string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(answer))
	d.UseNumber() // 50.0 stays 50.0
	if d.Decode(&v) == nil {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		w.must(e.Encode(timeless(v)))
		answer = strings.TrimSpace(b.String())
	}
	for id, name := range w.names {
		answer = strings.ReplaceAll(answer, id, name)
	}
	return answer
}

// timeless puts a word where a time or the root's id was.
func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			if v[key] = timeless(v[key]); key == "createdDate" || key == "lastUpdatedDate" {
				v[key] = "TIME"
			}
			if key == "parentId" || key == "id" && v["path"] == "/" {
				v[key] = "ROOT"
			}
		}
	case []any:
		for i := range v {
			v[i] = timeless(v[i])
		}
	}
	return v
}

func (w *cli) compare(file string) {
	w.Helper()
	got := w.text.String()
	if *rewrite {
		w.must(os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	w.must(err)
	if got != string(want) {
		w.Errorf("the transcript is another one than %s (-update rewrites it):\n%s", file, got)
	}
}
