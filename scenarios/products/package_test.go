package products_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"coalmine/scenarios/emulator"
	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

func toolchain(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go toolchain to build the function with")
	}
}

// The same source makes the same package, whoever builds it, and each release another.
func TestPackagesAreDeterministic(t *testing.T) {
	t.Parallel()
	toolchain(t)
	made := func(o products.Options, release string) []byte {
		t.Helper()
		file, err := o.Package(t.Context(), release)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	first, second := products.FromSource(runtime.GOOS, runtime.GOARCH), products.FromSource(runtime.GOOS, runtime.GOARCH)
	one := made(first, "1")
	if !bytes.Equal(one, made(second, "1")) {
		t.Error("two builds differ")
	}
	if bytes.Equal(one, made(first, "2")) {
		t.Error("two releases are the same")
	}
	archive, err := zip.NewReader(bytes.NewReader(one), int64(len(one)))
	if err != nil {
		t.Fatal(err)
	}
	if f := archive.File; len(f) != 2 || f[0].Name != "bootstrap" || f[0].Mode() != 0o755 || f[1].Name != "release" {
		t.Errorf("%v", f)
	}
}

func TestNoToolchain(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := products.FromSource("linux", "arm64").Package(t.Context(), "1"); !errors.Is(err, products.ErrNoToolchain) {
		t.Error(err)
	}
	if _, err := products.Toolchain(t.Context()); !errors.Is(err, products.ErrNoToolchain) {
		t.Error(err)
	}
}

// The function's own module file names the library that this module is tested with.
func TestOneLambdaLibrary(t *testing.T) {
	version := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`github.com/aws/aws-lambda-go (v\S+)`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s names none", path)
		}
		return string(m[1])
	}
	if ours, its := version("../../go.mod"), version("function/build.mod"); ours != its {
		t.Errorf("go.mod has %s, function/build.mod %s", ours, its)
	}
}

// The whole system, with the function that goes to AWS.
func TestUpWithTheRealFunction(t *testing.T) {
	t.Parallel()
	toolchain(t)
	s := newSiteWith(t, emulator.Options{Exec: true})
	system, _, err := products.UpWith(t.Context(), s.Client, products.FromSource(runtime.GOOS, runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	working(t, system)
	resp, err := http.Get(system.Stage("staging").URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	const want = `{"message":"getProducts: all products v2","version":"2","products":[{"id":"p-100","name":"lamp","price":24.9},` +
		`{"id":"p-101","name":"pickaxe","price":39.5},{"id":"p-102","name":"helmet","price":54},{"id":"p-103","name":"canary cage","price":89.9}]}`
	if string(body) != want || resp.Header.Get("X-Lambda-Version") != "2" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", body, resp.Header)
	}
}

// Real and emulated answers are the same, in every state that a fault can put the function into.
func TestRealAndEmulatedAnswerAlike(t *testing.T) {
	t.Parallel()
	toolchain(t)
	answers := func(o emulator.Options, p products.Options) (all []string) {
		t.Helper()
		s := newSiteWith(t, o)
		system, _, err := products.UpWith(t.Context(), s.Client, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, how := range []emulator.Version{
			{}, {Errors: 1}, {Crashes: 1}, {Marker: emulator.MarkHeader}, {Marker: emulator.MarkBody}, {Marker: emulator.MarkNone},
			{Marker: emulator.MarkBoth, Errors: 1}, {Marker: emulator.MarkNone, Errors: 1},
		} {
			if err := s.server.SetFaults(emulator.Faults{Versions: map[string]emulator.Version{"1": how}}); err != nil {
				t.Fatal(err)
			}
			resp, err := http.Get(system.Stage("prod").URL)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusBadGateway { // it carries the request's id
				body = bytes.Replace(body, []byte(resp.Header.Get("X-Amzn-Requestid")), nil, 1)
			}
			all = append(all, resp.Status+" "+resp.Header.Get("X-Lambda-Version")+" "+string(body))
		}
		return all
	}
	emulated := answers(emulator.Options{}, products.Options{})
	real := answers(emulator.Options{Exec: true}, products.FromSource(runtime.GOOS, runtime.GOARCH))
	for i, want := range emulated {
		if real[i] != want {
			t.Errorf("%d: %s, emulated %s", i, real[i], want)
		}
	}
	if !strings.HasPrefix(emulated[2], `502 Bad Gateway  {"message":"Internal server error","alias":"prod"`) {
		t.Errorf("an answer that is nobody's does not name the alias: %s", emulated[2])
	}
}

// What a placeholder is where packages are run, it says itself.
func TestPlaceholder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("packages are not run here")
	}
	s := newSiteWith(t, emulator.Options{Exec: true})
	if _, _, err := products.Up(t.Context(), s.Client); err != nil {
		t.Fatal(err)
	}
	out, err := s.Lambda().Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(products.Function), Qualifier: aws.String("prod")})
	if err != nil || !strings.Contains(string(out.Payload), "coalmine stack up --exec uploads the real function") {
		t.Errorf("%s %v", out.Payload, err)
	}
	if _, said, err := products.Up(t.Context(), &stage.Client{}); err == nil || !strings.Contains(err.Error(), "no package to send") || len(said) > 0 {
		t.Errorf("on AWS: %q %v", said, err)
	}
}

// A role that Lambda has not heard of yet, and quotas, are waited for.
func TestPatience(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	refused := map[string]int{}
	times := func(what string, n int, w http.ResponseWriter, status int, code, message string) bool {
		if refused[what]++; refused[what] > n {
			return false
		}
		w.Header().Set("X-Amzn-ErrorType", code)
		w.WriteHeader(status)
		io.WriteString(w, `{"message":"`+message+`"}`)
		return true
	}
	s.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/functions"):
			return times("function", 3, w, 400, "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
		case r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/deployments"):
			return times("deployment", 6, w, 429, "TooManyRequestsException", "Too Many Requests") // more than the SDK repeats
		case r.Method == "DELETE" && strings.HasPrefix(r.URL.Path, "/restapis/"):
			return times("API", 6, w, 429, "TooManyRequestsException", "Too Many Requests")
		}
		return false
	}
	system, _, err := products.Up(ctx, s.Client)
	if err != nil {
		t.Fatal(err)
	}
	working(t, system)
	if _, err := products.Down(ctx, s.Client); err != nil {
		t.Error(err)
	}
	empty(t, s)
	if refused["function"] != 4 || refused["deployment"] != 7 || refused["API"] != 7 {
		t.Errorf("%v", refused)
	}
	s.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/functions") && times("never", 1000, w, 400, "InvalidParameterValueException", "Unzipped size must be smaller")
	}
	if _, _, err := products.Up(ctx, s.Client); err == nil || refused["never"] != 1 {
		t.Errorf("%d tries: %v", refused["never"], err)
	}
}

// A role of our name that is not ours is neither used nor removed.
func TestOthersRole(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	client := iam.NewFromConfig(s.AWS())
	name := aws.String("coalmine-products")
	if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String("{}")}); err != nil {
		t.Fatal(err)
	}
	if _, said, err := products.Up(ctx, s.Client); err == nil || !strings.Contains(err.Error(), "role coalmine-products is not made by coalmine") || len(said) > 0 {
		t.Errorf("%q %v", said, err)
	}
	if removed, err := products.Down(ctx, s.Client); err != nil || len(removed) > 0 {
		t.Errorf("%q %v", removed, err)
	}
	if _, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: name}); err != nil {
		t.Error(err)
	}
}
