package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"coalmine/analyze"
	"coalmine/report"
)

func preview(t *testing.T) report.Preview {
	plan := forecast(t, 50, 100, nil)
	return report.Preview{
		Target: analyze.Target{Where: "AWS account 123456789012, eu-west-1, API a1b2c3 (products), stage prod", Method: "GET",
			URL:      "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/prod/products",
			Baseline: "1", Canary: "2", Percent: 50, Classify: "header:X-Lambda-Version", Covers: "1 of 3 methods (GET /products)"},
		Live: "50.0% to deployment d1, lambdaAlias=staging", Uncovered: []string{"GET /orders", "POST /orders"}, Sent: 50,
		Findings: []report.Finding{
			{Check: "canary", Level: "ok", Text: "50.0% to deployment d1"},
			{Check: "managed", Level: "warning", Text: "stack shop of CloudFormation manages the stage: a promote drifts it", Remedy: "promote by the stack, and let coalmine verify"},
			{Check: "headroom", Level: "not checked", Text: "the account's concurrency: the credentials may not read it, nor what is in use", Remedy: "grant lambda:GetAccountSettings to them"},
			{Check: "cache", Level: "block", Text: "the stage's cache answers for GET /products", Remedy: "turn it off for the method"},
		},
		Forecast: &plan,
	}
}

func TestPreview(t *testing.T) {
	table, err := report.NamedPreview("table")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := table(&out, preview(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		": version 2\nis judged against version 1, at 50 % of the traffic",
		"(50 requests sent to try it)",
		"Covers 1 of 3 methods (GET /products); not GET /orders, POST /orders.",
		"\nmanaged    warning      stack shop of CloudFormation manages the stage",
		"\nheadroom   not checked  the account's concurrency: the credentials may not\n                        read it, nor what is in use; grant\n                        lambda:GetAccountSettings to them\n",
		"\nblock cache: the stage's cache answers for GET /products; turn it off for the\n",
		"is expected to be promoted after",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len([]rune(strings.TrimRight(line, "\n"))) > 80 {
			t.Errorf("more than 80 columns: %s", line)
		}
	}
	const line = "coalmine: dry run: 50 requests sent, nothing changed, blocked by 1 preflight check, 1 warning; v2 over v1 at 50 %: plan: PROMOTE expected after"
	if got := report.PreviewLine(preview(t)); !strings.HasPrefix(got, line) {
		t.Errorf("last line\n%s\nwant it to begin with\n%s", got, line)
	}
}

func TestPreviewJSON(t *testing.T) {
	format, err := report.NamedPreview("json")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := format(&out, preview(t)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Sent      int              `json:"requests_sent"`
		Preflight []report.Finding `json:"preflight"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Sent != 50 || len(got.Preflight) != 4 || got.Preflight[3].Level != "block" {
		t.Errorf("got %+v", got)
	}
	if _, err := report.NamedPreview("xml"); err == nil || !strings.Contains(err.Error(), "json, table") {
		t.Errorf("an unknown format: %v", err)
	}
}
