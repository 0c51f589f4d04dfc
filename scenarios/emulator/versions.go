package emulator

import (
	"fmt"
	"net/http"
	"strconv"
)

// lambdaMessage is Lambda's error body. A missing resource spells Message in upper case, everything else in lower.
type lambdaMessage struct {
	Type string
	Text string `json:"message"`
}

func lambdaRefusal(status int, code, format string, args ...any) error {
	return &refusal{status: status, code: code, body: lambdaMessage{"User", fmt.Sprintf(format, args...)}}
}

func missing(format string, args ...any) error {
	return &refusal{status: http.StatusNotFound, code: "ResourceNotFoundException",
		body: struct{ Type, Message string }{"User", fmt.Sprintf(format, args...)}}
}

func invalidParameter(format string, args ...any) error {
	return lambdaRefusal(http.StatusBadRequest, "InvalidParameterValueException", format, args...)
}

// stale is what a compare-and-set says when RevisionId is no longer the last.
func stale(read string) error {
	return lambdaRefusal(http.StatusPreconditionFailed, "PreconditionFailedException",
		"The Revision Id provided does not match the latest Revision Id. Call the %s API to retrieve the latest Revision Id", read)
}

// listed pages a Lambda collection.
func listed[T any](key string, items []T, in *call) (answer, error) {
	part, next, err := page(items, in.query.Get("Marker"), in.query.Get("MaxItems"), 50, 10000, invalidParameter)
	if err != nil {
		return answer{}, err
	}
	body := map[string]any{key: part}
	if next != "" {
		body["NextMarker"] = next
	}
	return ok(body)
}

func (c *control) listVersions(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	all := []configuration{}
	for _, v := range f.versions {
		all = append(all, v.qualified())
	}
	return listed("Versions", all, in)
}

func (c *control) publishVersion(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	var want struct{ CodeSha256, Description, RevisionId string }
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	current := f.versions[0].configuration
	if want.RevisionId != "" && want.RevisionId != current.RevisionId {
		return answer{}, stale("GetFunction/GetAlias")
	}
	if want.CodeSha256 != "" && want.CodeSha256 != current.CodeSha256 {
		return answer{}, invalidParameter("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.",
			want.CodeSha256, current.CodeSha256)
	}
	v := f.publish(want.Description)
	c.publishFunctions()
	return created(v.qualified())
}

// publish makes a version of $LATEST, unless neither code nor configuration has changed since the last one: then it is that.
func (f *function) publish(description string) *version {
	conf := f.versions[0].configuration
	if last := f.versions[len(f.versions)-1]; last.Version != latest && last.sameAs(conf) {
		return last
	}
	if description != "" {
		conf.Description = description
	}
	f.published++
	conf.Version = strconv.Itoa(f.published)
	conf.FunctionArn = f.arn + ":" + conf.Version
	conf.RevisionId = newRevision()
	if conf.SnapStart.ApplyOn == "PublishedVersions" {
		conf.SnapStart.OptimizationStatus = "On"
	}
	v := &version{conf, &environments{}}
	f.versions = append(f.versions, v)
	return v
}

// sameAs leaves the description out: a version may have been given its own.
func (v *version) sameAs(conf configuration) bool {
	clean := func(c configuration) string {
		c.SnapStart.OptimizationStatus = ""
		c.Version, c.FunctionArn, c.RevisionId, c.LastModified, c.Description = "", "", "", "", ""
		return string(encode(c))
	}
	return clean(v.configuration) == clean(conf)
}

// qualified spells the version in the ARN, $LATEST's too.
func (v *version) qualified() configuration {
	conf := v.configuration
	if conf.Version == latest {
		conf.FunctionArn += ":" + latest
	}
	return conf
}

func (f *function) version(number string) *version {
	for _, v := range f.versions {
		if v.Version == number {
			return v
		}
	}
	return nil
}
