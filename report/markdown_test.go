package report_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"coalmine/analyze"
	"coalmine/report"
)

// What came from a server is text, whatever it is made to look like.
func TestMarkdownEscapes(t *testing.T) {
	for _, hostile := range []string{
		"<script>alert(1)</script>", "<img src=x onerror=y>", "[click](http://evil.example)", "![x](http://evil.example)", "http://evil.example/x", "www.evil.example",
		"**bold** _em_ `code` ~~gone~~", "a | b | c", "# heading", "- item", "1. item", "> quote", "&lt;b&gt;", "``` fence", "x <!-- y", "a\\|b", "\\", "me@evil.example", "@everyone",
		"+ item", "---", "===", "<http://evil.example>", "[^1]", "$x$",
	} {
		a := analyze.Analysis{Header: analyze.Header{Policy: &analyze.Policy{}, Target: analyze.Target{Where: hostile, Method: hostile, URL: hostile, Baseline: hostile, Canary: hostile, Covers: hostile}},
			Phases: []analyze.Phase{{Name: analyze.During, Arms: []analyze.Arm{{Name: hostile, Role: hostile}}, Sentence: hostile,
				Targets: []analyze.TargetReport{{Name: hostile, Arms: []analyze.Arm{{Name: hostile}}}}},
				{Name: analyze.After, Stage: hostile, Expect: hostile, Arms: []analyze.Arm{{Name: hostile, Hits: 1}}, Sentence: hostile}},
			Checks:     []analyze.Check{{Name: hostile, Sentence: hostile}},
			Conclusion: analyze.Conclusion{Sentence: hostile}, Notes: []string{hostile}, End: analyze.End{Reason: "error", Error: hostile},
			Events: []analyze.Event{{Name: analyze.PromoteEnd, Detail: map[string]string{"error": hostile}}}}
		var out bytes.Buffer
		if err := report.Markdown(&out, a); err != nil {
			t.Fatal(err)
		}
		kinds, said := parsed(out.Bytes())
		for kind, n := range kinds {
			switch kind {
			case "Document", "Heading", "Paragraph", "Text", "TextBlock", "String", "Table", "TableHeader", "TableRow", "TableCell", "List", "ListItem":
			case "RawHTML": // what keeps @ from being a mention
				if n != strings.Count(out.String(), "<!-- -->") {
					t.Errorf("%q: HTML:\n%s", hostile, out.String())
				}
			default:
				t.Errorf("%q makes a %s:\n%s", hostile, kind, out.String())
			}
		}
		if kinds["Heading"] != 1 || kinds["Table"] != 4 || kinds["List"] != 1 || kinds["TableCell"] != 8*2+7*2+7*2+8*2 {
			t.Errorf("%q: %v:\n%s", hostile, kinds, out.String())
		}
		if n := strings.Count(said, strings.Join(strings.Fields(hostile), " ")); n < 20 { // as often as it stands in the analysis
			t.Errorf("%q is shown %d times in\n%s", hostile, n, said)
		}
	}
}

// parsed counts what a reader of GitHub's Markdown makes of a text, and gives the words that it would show.
func parsed(source []byte) (kinds map[string]int, said string) {
	kinds = map[string]int{}
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			kinds[n.Kind().String()]++
		}
		return ast.WalkContinue, nil
	})
	var html bytes.Buffer
	if err := goldmark.New(goldmark.WithExtensions(extension.GFM)).Convert(source, &html); err != nil {
		return nil, err.Error()
	}
	return kinds, strings.NewReplacer("<!-- raw HTML omitted -->", "", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&amp;", "&").Replace(html.String())
}

// BenchmarkFormats draws every report of a run of ten minutes. Its aim is 300 ms for all of them.
func BenchmarkFormats(b *testing.B) {
	a := cases["long"].analysis(b)
	for b.Loop() {
		for _, name := range report.Formats() {
			show, _, _ := report.Named(name)
			var out bytes.Buffer
			if err := show(&out, a); err != nil {
				b.Fatal(err)
			}
		}
	}
}
