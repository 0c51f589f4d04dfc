package emulator

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

const latest = "$LATEST"

// function is a Lambda function with all that hangs on it.
type function struct {
	name, arn string
	versions  []*version // $LATEST first, then as published
	published int        // the highest number given out; numbers are not used again
	aliases   map[string]aliasConfiguration
	policies  map[string]policy // by qualifier; "" is the function itself
	tags      map[string]string

	occupancy   *occupancy
	reserved    *int                    // concurrency; nil: what the account has
	provisioned map[string]*provisioned // by qualifier
}

// version is one version's configuration, replaced rather than changed, with the environments that run it.
type version struct {
	configuration
	environments *environments
}

// configuration is FunctionConfiguration on the wire.
type configuration struct {
	FunctionName     string
	FunctionArn      string
	Runtime          string `json:",omitempty"`
	Role             string
	Handler          string `json:",omitempty"`
	CodeSize         int
	Description      string
	Timeout          int
	MemorySize       int
	LastModified     string
	CodeSha256       string
	Version          string
	Environment      *environment `json:",omitempty"`
	TracingConfig    tracing
	RevisionId       string
	State            string
	StateReason      string `json:",omitempty"`
	StateReasonCode  string `json:",omitempty"`
	LastUpdateStatus string
	LastUpdateReason string `json:"LastUpdateStatusReason,omitempty"`
	LastUpdateCode   string `json:"LastUpdateStatusReasonCode,omitempty"`
	PackageType      string
	Architectures    []string
	EphemeralStorage ephemeral
	Layers           []layer `json:",omitempty"`
	SnapStart        snapStart

	file []byte // the package, where packages are run
}

type environment struct{ Variables map[string]string }
type tracing struct{ Mode string }
type layer struct {
	Arn      string
	CodeSize int
}

// snapStart is On for versions that were published while it applied to those.
type snapStart struct{ ApplyOn, OptimizationStatus string }

type ephemeral struct{ Size int }

// settings is what CreateFunction and UpdateFunctionConfiguration share.
type settings struct {
	Runtime          *string
	Role             *string
	Handler          *string
	Description      *string
	Timeout          *int
	MemorySize       *int
	Environment      *environment
	TracingConfig    *tracing
	EphemeralStorage *ephemeral
	Layers           *[]string
	SnapStart        *snapStart
	RevisionId       string
}

var rolePattern = regexp.MustCompile(`^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)

func (c *configuration) apply(s settings) error {
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&c.Runtime, s.Runtime)
	set(&c.Role, s.Role)
	set(&c.Handler, s.Handler)
	set(&c.Description, s.Description)
	if s.Timeout != nil {
		c.Timeout = *s.Timeout
	}
	if s.MemorySize != nil {
		c.MemorySize = *s.MemorySize
	}
	if s.Environment != nil {
		c.Environment = s.Environment
	}
	if s.TracingConfig != nil {
		c.TracingConfig = *s.TracingConfig
	}
	if s.EphemeralStorage != nil {
		c.EphemeralStorage = *s.EphemeralStorage
	}
	if s.Layers != nil {
		c.Layers = nil
		for _, arn := range *s.Layers {
			c.Layers = append(c.Layers, layer{Arn: arn, CodeSize: 1})
		}
	}
	if s.SnapStart != nil {
		c.SnapStart = snapStart{s.SnapStart.ApplyOn, "Off"}
	}
	switch {
	case len(c.Layers) > 5:
		return invalidParameter("Cannot reference more than 5 layers.")
	case c.SnapStart.ApplyOn != "None" && c.SnapStart.ApplyOn != "PublishedVersions":
		return invalid(c.SnapStart.ApplyOn, "snapStart.applyOn", "Member must satisfy enum value set: [PublishedVersions, None]")
	case !rolePattern.MatchString(c.Role):
		return invalid(c.Role, "role", `Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`)
	case c.Runtime == "go1.x":
		return invalidParameter("The runtime parameter of go1.x is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.")
	case c.Timeout < 1 || c.Timeout > 900:
		return invalid(fmt.Sprint(c.Timeout), "timeout", "Member must have value between 1 and 900")
	case c.MemorySize < 128 || c.MemorySize > 10240:
		return invalid(fmt.Sprint(c.MemorySize), "memorySize", "Member must have value between 128 and 10240")
	}
	c.LastModified = time.Now().UTC().Format("2006-01-02T15:04:05.000-0700")
	return nil
}

// carry takes in a zip. Where packages are not run, its bytes are hashed and forgotten: what runs is a Go handler.
func (c *configuration) carry(file []byte, run bool) error {
	archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return invalidParameter("Could not unzip uploaded file. Please check your file, then try to upload again.")
	}
	if len(archive.File) == 0 {
		return invalidParameter("Uploaded file must be a non-empty zip")
	}
	if run {
		if !strings.HasPrefix(c.Runtime, "provided.al") {
			return invalidParameter("The emulator runs functions of runtime provided.al2023 only, not %s", c.Runtime)
		}
		if err := runnable(file, archive); err != nil {
			return err
		}
		c.file = file
	}
	sum := sha256.Sum256(file)
	c.CodeSha256, c.CodeSize = base64.StdEncoding.EncodeToString(sum[:]), len(file)
	return nil
}

func (c *control) createFunction(in *call) (answer, error) {
	var want struct {
		settings
		FunctionName  string
		Code          struct{ ZipFile []byte }
		PackageType   string
		Architectures []string
		Tags          map[string]string
		Publish       bool
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	name, _ := splitFunctionName(want.FunctionName)
	if !isName(name) || len(name) > 64 {
		return answer{}, invalid(want.FunctionName, "functionName", `Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`)
	}
	if c.functions[name] != nil {
		return answer{}, lambdaRefusal(http.StatusConflict, "ResourceConflictException", "Function already exist: %s", name)
	}
	arn := "arn:aws:lambda:" + in.region + ":" + account + ":function:" + name
	conf := configuration{
		FunctionName:     name,
		FunctionArn:      arn,
		Version:          latest,
		Timeout:          3,
		MemorySize:       128,
		TracingConfig:    tracing{"PassThrough"},
		EphemeralStorage: ephemeral{512},
		SnapStart:        snapStart{"None", "Off"},
		State:            "Active",
		LastUpdateStatus: "Successful",
		RevisionId:       newRevision(),
		PackageType:      cmp.Or(want.PackageType, "Zip"),
		Architectures:    want.Architectures,
	}
	if len(conf.Architectures) == 0 {
		conf.Architectures = []string{"x86_64"}
	}
	if err := conf.apply(want.settings); err != nil {
		return answer{}, err
	}
	if conf.PackageType != "Zip" {
		return answer{}, invalidParameter("The emulator takes functions as zip files only")
	}
	if conf.Runtime == "" || conf.Handler == "" {
		return answer{}, invalidParameter("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	if err := conf.carry(want.Code.ZipFile, c.fleet != nil); err != nil {
		return answer{}, err
	}
	f := &function{
		name:     name,
		arn:      arn,
		versions: []*version{{conf, &environments{}}},
		aliases:  map[string]aliasConfiguration{},
		policies: map[string]policy{},
		tags:     want.Tags,

		occupancy:   &occupancy{},
		provisioned: map[string]*provisioned{},
	}
	c.functions[name] = f
	if want.Publish {
		conf = f.publish("").configuration
	}
	c.publishFunctions()
	// The function works already; a client must all the same be ready to wait for it, as on AWS.
	conf.State, conf.StateReason, conf.StateReasonCode = "Pending", "The function is being created.", "Creating"
	return created(conf)
}

func (c *control) updateFunctionCode(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	var want struct {
		ZipFile    []byte
		Publish    bool
		DryRun     bool
		RevisionId string
	}
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	conf := f.versions[0].configuration
	if want.RevisionId != "" && want.RevisionId != conf.RevisionId {
		return answer{}, stale("GetFunction/GetAlias")
	}
	if err := conf.carry(want.ZipFile, c.fleet != nil); err != nil {
		return answer{}, err
	}
	if want.DryRun {
		return ok(conf)
	}
	return ok(c.update(f, conf, want.Publish))
}

func (c *control) updateFunctionConfiguration(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	var want settings
	if err := in.decode(&want); err != nil {
		return answer{}, err
	}
	conf := f.versions[0].configuration
	if want.RevisionId != "" && want.RevisionId != conf.RevisionId {
		return answer{}, stale("GetFunction/GetAlias")
	}
	if err := conf.apply(want); err != nil {
		return answer{}, err
	}
	return ok(c.update(f, conf, false))
}

// update replaces $LATEST. New code starts new environments.
func (c *control) update(f *function, conf configuration, publish bool) configuration {
	conf.RevisionId = newRevision()
	conf.LastModified = time.Now().UTC().Format("2006-01-02T15:04:05.000-0700")
	f.versions[0] = &version{conf, &environments{}}
	if publish {
		conf = f.publish("").configuration
	}
	c.publishFunctions()
	conf.LastUpdateStatus, conf.LastUpdateReason, conf.LastUpdateCode = "InProgress", "The function is being created.", "Creating"
	return conf
}

func (c *control) listFunctions(in *call) (answer, error) {
	all := []configuration{}
	for _, name := range slices.Sorted(maps.Keys(c.functions)) {
		f := c.functions[name]
		if in.query.Get("FunctionVersion") != "ALL" {
			all = append(all, f.versions[0].configuration)
			continue
		}
		for _, v := range f.versions {
			all = append(all, v.qualified())
		}
	}
	return listed("Functions", all, in)
}

func (c *control) getFunction(in *call) (answer, error) {
	f, v, err := c.qualifiedFunction(in)
	if err != nil {
		return answer{}, err
	}
	return ok(struct {
		Configuration configuration
		Code          any
		Tags          map[string]string `json:",omitempty"`
		Concurrency   *concurrency      `json:",omitempty"`
	}{v, map[string]string{"RepositoryType": "S3", "Location": "https://awslambda.invalid/" + f.name}, f.tags, f.concurrency()})
}

func (c *control) getFunctionConfiguration(in *call) (answer, error) {
	_, v, err := c.qualifiedFunction(in)
	if err != nil {
		return answer{}, err
	}
	return ok(v)
}

func (c *control) deleteFunction(in *call) (answer, error) {
	f, err := c.named(in)
	if err != nil {
		return answer{}, err
	}
	q := in.qualifier()
	if q == "" {
		delete(c.functions, f.name)
		c.publishFunctions()
		return noContent()
	}
	i := slices.IndexFunc(f.versions, func(v *version) bool { return v.Version == q })
	if i == 0 || !isVersion(q) {
		return answer{}, invalidParameter("%s version cannot be deleted without deleting the function.", q)
	}
	if i < 0 {
		return noContent()
	}
	var holders []string
	for _, name := range slices.Sorted(maps.Keys(f.aliases)) {
		if a := f.aliases[name]; a.FunctionVersion == q || a.weights()[q] > 0 {
			holders = append(holders, name)
		}
	}
	if len(holders) > 0 {
		return answer{}, lambdaRefusal(http.StatusConflict, "ResourceConflictException",
			"Unable to delete version because the following aliases reference it: %v", holders)
	}
	f.versions = slices.Delete(f.versions, i, i+1)
	delete(f.policies, q)
	delete(f.provisioned, q)
	c.publishFunctions()
	return noContent()
}

// function finds one by name; the refusal spells the ARN that was meant.
func (c *control) function(in *call, name string) (*function, error) {
	if f := c.functions[name]; f != nil {
		return f, nil
	}
	return nil, missing("Function not found: arn:aws:lambda:%s:%s:function:%s", in.region, account, name)
}

func (c *control) named(in *call) (*function, error) {
	name, _ := splitFunctionName(in.path("function"))
	return c.function(in, name)
}

// qualifier comes in the query or at the end of the name.
func (in *call) qualifier() string {
	_, q := splitFunctionName(in.path("function"))
	return cmp.Or(in.query.Get("Qualifier"), q)
}

func (c *control) qualifiedFunction(in *call) (*function, configuration, error) {
	f, err := c.named(in)
	if err != nil {
		return nil, configuration{}, err
	}
	q := in.qualifier()
	if q == "" {
		return f, f.versions[0].configuration, nil
	}
	number := q
	if a, found := f.aliases[q]; found {
		number = a.FunctionVersion
	}
	v := f.version(number)
	if v == nil {
		return nil, configuration{}, missing("Function not found: %s:%s", f.arn, q)
	}
	conf := v.configuration
	conf.FunctionArn = f.arn + ":" + q
	return f, conf, nil
}

// splitFunctionName takes a name, a partial and a full ARN, each with or without a qualifier.
func splitFunctionName(s string) (name, qualifier string) {
	if _, rest, found := strings.Cut(s, ":function:"); found {
		s = rest
	} else if rest, found := strings.CutPrefix(s, "function:"); found {
		s = rest
	}
	name, qualifier, _ = strings.Cut(s, ":")
	return name, qualifier
}
