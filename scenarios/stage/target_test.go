package stage_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// What would make a judgement meaningless is known before any load is sent.
func TestProblems(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx := t.Context()
	fn := aws.String(products.Function)
	alias := func(name, version string) {
		t.Helper()
		if _, err := l.Lambda().CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: fn, Name: &name, FunctionVersion: &version}); err != nil {
			t.Fatal(err)
		}
	}
	alias("same", "1")
	alias("denied", "3")
	alias("split", "2")
	if _, err := l.Lambda().UpdateAlias(ctx, &lambda.UpdateAliasInput{
		FunctionName: fn, Name: aws.String("split"), FunctionVersion: aws.String("2"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"3": 0.1}},
	}); err != nil {
		t.Fatal(err)
	}
	check := func(name string, p float64, overrides map[string]string, want ...string) {
		t.Helper()
		target, err := l.Foresee(ctx, l.ref, p, overrides)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, w := range want {
			if !slices.ContainsFunc(target.Problems, func(p string) bool { return strings.Contains(p, w) }) {
				t.Errorf("%s: %q is not in %q", name, w, target.Problems)
			}
		}
		if len(target.Problems) != len(want) {
			t.Errorf("%s: %q", name, target.Problems)
		}
		if target.Share != p/100 {
			t.Errorf("%s: share %v", name, target.Share)
		}
	}
	to := func(alias string) map[string]string { return map[string]string{"lambdaAlias": alias} }
	check("fine", 50, to("staging"))
	check("nothing to compare", 50, nil, "nothing to compare")
	check("no split", 100, to("staging"), "no split")
	check("same version", 50, to("same"), "aliases prod and same are both version 1", "may not invoke getProducts:same")
	check("denied", 50, to("denied"), "may not invoke getProducts:denied")
	check("splits itself", 50, to("split"), "10.0% of it goes to version 3", "may not invoke")
	if _, err := l.Foresee(ctx, l.ref, 50, to("nobody")); err == nil || !strings.Contains(err.Error(), "resolve GET /products on prod: canary: function getProducts has no alias nobody: GetAlias: ResourceNotFoundException") {
		t.Error(err)
	}
	if s := l.read(); s.Canary != nil {
		t.Errorf("foreseeing made a canary: %s", s.Canary)
	}
	bad := l.ref
	bad.Path = "/orders"
	if _, err := l.Resolve(ctx, bad); err == nil || err.Error() != "resolve GET /orders on prod: the API has no such path" {
		t.Error(err)
	}
	l.proxy.with(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/policy") {
			awsError(w, 403, "AccessDeniedException", "User is not authorized to perform: lambda:GetPolicy")
			return true
		}
		return false
	})
	target, err := l.Resolve(ctx, l.ref)
	if err != nil || len(target.Problems) > 0 || len(target.Warnings) != 1 || !strings.Contains(target.Warnings[0], "AccessDeniedException") {
		t.Errorf("%+v %v", target, err)
	}
}

// moto answers 200 to a canary and makes none: a control plane that somebody
// else wrote, with the very fault this package must notice.
func TestMoto(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	server, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(server, "-H", "127.0.0.1", "-p", port)
	if err := cmd.Start(); err != nil {
		t.Skipf("moto_server: %v", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	t.Parallel()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Skip("moto_server does not come up")
		}
	}
	ctx := t.Context()
	motoRole(t, "http://"+addr)
	c := connect(t, "http://"+addr)
	system, said, err := products.Up(ctx, c)
	if err != nil {
		t.Fatalf("%v after %q", err, said)
	}
	ref := stage.Ref{API: system.API, Stage: "prod", Method: "GET", Path: "/products"}
	before, err := c.Read(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	j, err := c.OpenJournal(t.TempDir(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	_, err = c.CreateCanary(ctx, j, ref, 50, map[string]string{"lambdaAlias": "staging"})
	if !errors.Is(err, stage.ErrNotTaken) || !strings.Contains(err.Error(), "the stage is as it was") {
		t.Errorf("%v", err)
	}
	after, err := c.Read(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := settings(after).Differs(settings(before)); diff != nil {
		t.Error(diff)
	}
	if removed, err := products.Down(ctx, c); err != nil || len(removed) != 2 {
		t.Errorf("%v %v", removed, err)
	}
}

// motoRole makes the role that moto, other than the emulator, looks for.
func motoRole(t *testing.T, endpoint string) {
	t.Helper()
	form := url.Values{
		"Action": {"CreateRole"}, "Version": {"2010-05-08"}, "RoleName": {"coalmine-products"},
		"AssumeRolePolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`},
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=coalmine/20260101/eu-west-1/iam/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
		t.Fatalf("CreateRole: %s", body)
	}
}
