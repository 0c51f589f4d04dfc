package stage_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"coalmine/scenarios/products"
	"coalmine/scenarios/stage"
)

// $LATEST is what anybody uploads next: a verdict on it is about the code and settings that it had, which no alias's
// revision shows.
func TestLatestIsBoundByItsRevision(t *testing.T) {
	t.Parallel()
	l, other, j := live(t)
	ctx := t.Context()
	l.point("staging", "$LATEST", nil)
	function := aws.String(products.Function)
	for name, c := range map[string]struct {
		edit func() error
		says string
	}{
		"code": {func() error {
			_, err := other.Lambda().UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: function, ZipFile: zipOf("next").ZipFile})
			return err
		}, "stage changed under test: $LATEST of getProducts: other code"},
		"settings": {func() error {
			_, err := other.Lambda().UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: function, MemorySize: aws.Int32(512)})
			return err
		}, "stage changed under test: $LATEST of getProducts: edited meanwhile, with the same code"},
	} {
		judged := l.measured()
		if len(judged.Arms) != 2 || judged.Arms[1].Version != "$LATEST" || len(judged.Codes) != 1 || judged.Codes[0].SHA256 == "" || judged.Codes[0].Revision == "" {
			t.Fatalf("measured %+v", judged)
		}
		if now, err := l.Again(ctx, judged); err != nil || len(now.Differs(judged)) > 0 {
			t.Errorf("untouched: %v, %v", now.Differs(judged), err)
		}
		if err := c.edit(); err != nil {
			t.Fatal(err)
		}
		l.proxy.forget()
		_, err := l.Promote(ctx, j, l.ref, judged, false)
		if !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), c.says) || len(l.proxy.changes()) > 0 {
			t.Errorf("%s: %v, sent %v", name, err, l.proxy.changes())
		}
	}
	judged := l.measured()
	l.must(l.Promote(ctx, j, l.ref, judged, false))
	if err := func() error {
		_, err := other.Lambda().UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: function, ZipFile: zipOf("last").ZipFile})
		return err
	}(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Repoint(ctx, j, l.ref, judged); !errors.Is(err, stage.ErrChanged) || !strings.Contains(err.Error(), "$LATEST of getProducts: other code") {
		t.Errorf("repointed: %v", err)
	}
}

// A canary that the breaker has stopped is still the canary, though it gets nothing.
func TestStoppedWeightsAreACanary(t *testing.T) {
	t.Parallel()
	l := weightedLab(t)
	j := l.journal()
	l.must(l.SetPercent(t.Context(), j, l.ref, 0))
	stopped := l.measured()
	l.must(l.Abort(t.Context(), j, l.ref, &stopped))
	l.leads("prod", "version 1")
}
