package stage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"coalmine/scenarios/stage"
)

// verify signs what came once more, of it what its signature says it covers, as a gateway does.
func verify(t *testing.T, r *http.Request, body, service, region string, keys aws.Credentials) {
	t.Helper()
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatalf("%v: %v", err, r.Header)
	}
	got := r.Header.Get("Authorization")
	_, covered, _ := strings.Cut(got, "SignedHeaders=")
	covered, _, _ = strings.Cut(covered, ",")
	again, err := http.NewRequest(r.Method, r.URL.String(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Split(covered, ";") {
		if values := r.Header.Values(name); name != "host" && name != "content-length" && len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	again.Header.Del("X-Amz-Date")
	hash := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, again, hex.EncodeToString(hash[:]), service, region, at); err != nil {
		t.Fatal(err)
	}
	if want := again.Header.Get("Authorization"); got != want {
		t.Errorf("signed\n%s, want\n%s", got, want)
	}
}

func environment(t *testing.T, of map[string]string) {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, of[name])
	}
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestSigner(t *testing.T) {
	keys := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SessionToken: "token"}
	environment(t, map[string]string{"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_SESSION_TOKEN": keys.SessionToken})
	for _, c := range []struct {
		flag, config, url, body string
		service, region         string
	}{
		{"execute-api", "", "https://abc123.execute-api.eu-west-1.amazonaws.com/prod/products?b=2&a=1%2F", "", "execute-api", "eu-west-1"},
		{"execute-api", "", "https://vpce-1-abc.execute-api.us-east-2.vpce.amazonaws.com/prod", "", "execute-api", "us-east-2"},
		{"execute-api", "", "https://shop.example.com/", "", "execute-api", ""},
		{"execute-api", "us-west-2", "https://shop.example.com/a b/%7Bid%7D", `{"id":1}`, "execute-api", "us-west-2"},
		{"cn-north-1/lambda", "us-west-2", "https://abc.execute-api.eu-west-1.amazonaws.com.cn/", "x", "lambda", "cn-north-1"},
		{"execute-api", "", "http://127.0.0.1:1/products", "", "execute-api", "us-east-1"},
	} {
		signing, err := stage.ParseSigning(c.flag)
		if err != nil {
			t.Fatal(err)
		}
		sign, err := signing.Signer(t.Context(), stage.Config{Region: c.config}, c.url)
		if c.region == "" {
			if err == nil || !strings.Contains(err.Error(), "no AWS region") {
				t.Errorf("%s: %v", c.url, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		r, err := http.NewRequest("POST", c.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Api-Key", "k")
		if err := sign(t.Context(), r, []byte(c.body), time.Now()); err != nil {
			t.Error(err)
		}
		if r.Header.Get("X-Amz-Security-Token") != "token" {
			t.Error(r.Header)
		}
		verify(t, r, c.body, c.service, c.region, keys)
	}
}

func TestSignerWithout(t *testing.T) {
	environment(t, nil)
	_, err := stage.Signing{}.Signer(t.Context(), stage.Config{Region: "eu-west-1"}, "https://shop.example.com/")
	if err == nil || !strings.HasPrefix(err.Error(), "find credentials to sign with: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if _, err := (stage.Signing{}).Signer(t.Context(), stage.Config{}, "http://localhost:8080/"); err != nil {
		t.Errorf("on loopback: %v", err)
	}
	for _, bad := range []string{"", "/", "a/", "/b", "a/b/c", "a b"} {
		if got, err := stage.ParseSigning(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// What a signature costs: attack makes one a second and target, or one a hit where each hit's query differs.
func BenchmarkSign(b *testing.B) {
	b.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	b.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	sign, err := stage.Signing{}.Signer(context.Background(), stage.Config{}, "http://127.0.0.1:1/")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for range b.N {
		r, err := http.NewRequest("GET", "http://127.0.0.1:1/prod/products?page=2", nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := sign(context.Background(), r, nil, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
