package stage

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// Config says which AWS. The zero value is AWS itself with the SDK's default
// chain of credentials and region.
type Config struct {
	Endpoint string // base URL of the control plane; "" is $AWS_ENDPOINT_URL, else AWS
	Region   string // "" is the default chain's; us-east-1 on loopback when that names none
	Profile  string // shared configuration profile; not used on loopback
}

// Client speaks to the control plane of one account in one region.
type Client struct {
	// Announce, when set, is called with every change before its first
	// request: Operations are what will be sent, After is what is expected. An
	// error from it stops the change there, with nothing sent and nothing
	// journaled; a dry run does that. Undoing what was not taken as asked is
	// not announced.
	Announce func(Change) error

	endpoint string // "" is AWS
	region   string
	account  string
	caller   string // ARN
	config   aws.Config
	gateway  *apigateway.Client
	lambda   *lambda.Client
	sts      *sts.Client

	mu   sync.Mutex
	apis map[string]api // seen, by id
}

// api is what a client remembers of a REST API.
type api struct {
	name     string
	disabled bool   // its execute-api endpoint
	keys     string // where API keys come from: HEADER, AUTHORIZER
	tags     map[string]string
}

// Connect finds credentials and region, and asks STS which account they are.
func Connect(ctx context.Context, c Config) (*Client, error) {
	endpoint, err := effectiveEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	cfg, err := load(ctx, c, endpoint)
	if err != nil {
		return nil, err
	}
	client := newClient(cfg, endpoint)
	id, err := client.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", client.where(), condense(err))
	}
	client.account, client.caller = aws.ToString(id.Account), aws.ToString(id.Arn)
	return client, nil
}

// newClient sends nothing.
func newClient(cfg aws.Config, endpoint string) *Client {
	var base *string
	if endpoint != "" {
		base = &endpoint
	}
	cfg.BaseEndpoint = base
	cfg.ConfigSources = append([]any{oneEndpoint{}}, cfg.ConfigSources...)
	c := &Client{endpoint: endpoint, region: cfg.Region, apis: map[string]api{}}
	cfg.APIOptions = append(slices.Clone(cfg.APIOptions), c.nameRequests)
	c.config = cfg
	c.gateway, c.lambda, c.sts = apigateway.NewFromConfig(cfg), lambda.NewFromConfig(cfg), sts.NewFromConfig(cfg)
	return c
}

// effectiveEndpoint is the one endpoint for all services. The SDK would also
// take AWS_ENDPOINT_URL_<SERVICE> and a profile's endpoint_url; those are
// overridden, so that what Loopback says is true of every request.
func effectiveEndpoint(endpoint string) (string, error) {
	if endpoint == "" {
		env, err := config.NewEnvConfig()
		if err != nil {
			return "", fmt.Errorf("read AWS environment: %w", err)
		}
		if aws.ToBool(env.IgnoreConfiguredEndpoints) {
			return "", nil
		}
		endpoint = env.BaseEndpoint
	}
	if endpoint == "" {
		return "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("endpoint %q is not an http or https URL", endpoint)
	}
	if u.User != nil {
		return "", errors.New("endpoint must not carry a user name or password")
	}
	return strings.TrimRight(endpoint, "/"), nil
}

// oneEndpoint is a source of configuration, see effectiveEndpoint.
type oneEndpoint struct{}

// GetIgnoreConfiguredEndpoints is what the client of every service asks before it takes an endpoint of its own.
func (oneEndpoint) GetIgnoreConfiguredEndpoints(context.Context) (ignore, found bool, err error) {
	return true, true, nil
}

func load(ctx context.Context, c Config, endpoint string) (aws.Config, error) {
	var cfg aws.Config
	client := awshttp.NewBuildableClient().WithTimeout(30 * time.Second)
	loopback := isLoopback(endpoint)
	if loopback {
		// Not LoadDefaultConfig: without credentials it probes the instance
		// metadata service, seconds for nothing.
		env, err := config.NewEnvConfig()
		if err != nil {
			return cfg, fmt.Errorf("read AWS environment: %w", err)
		}
		cfg.Region = firstOf(c.Region, env.Region, "us-east-1")
		id := env.Credentials
		if !id.HasKeys() {
			id.AccessKeyID, id.SecretAccessKey, id.SessionToken = "coalmine", "coalmine", ""
		}
		cfg.Credentials = credentials.NewStaticCredentialsProvider(id.AccessKeyID, id.SecretAccessKey, id.SessionToken)
		cfg.HTTPClient = client
		if env.CustomCABundle != "" && strings.HasPrefix(endpoint, "https:") {
			if cfg.HTTPClient, err = trusting(client, env.CustomCABundle); err != nil {
				return cfg, fmt.Errorf("read AWS_CA_BUNDLE: %w", err)
			}
		}
	} else {
		options := []func(*config.LoadOptions) error{
			config.WithLogger(logging.Nop{}), // what matters of it is in the errors
			config.WithHTTPClient(client),    // which is given the authorities of AWS_CA_BUNDLE, or the profile's ca_bundle
		}
		if c.Region != "" {
			options = append(options, config.WithRegion(c.Region))
		}
		if c.Profile != "" {
			options = append(options, config.WithSharedConfigProfile(c.Profile))
		}
		var err error
		if cfg, err = config.LoadDefaultConfig(ctx, options...); err != nil {
			return cfg, fmt.Errorf("read AWS configuration: %w", condense(err))
		}
		if cfg.Region == "" {
			return cfg, errors.New("no AWS region: name one, or set AWS_REGION")
		}
	}
	cfg.Logger = logging.Nop{}
	cfg.Retryer = func() aws.Retryer { return retryer(loopback) }
	cfg.HTTPClient = readable{cfg.HTTPClient}
	cfg.APIOptions = append(cfg.APIOptions, middleware.AddUserAgentKey("coalmine"))
	return cfg, nil
}

// trusting takes the certificates of the authorities in a file, and as AWS's own tools do no others.
func trusting(client *awshttp.BuildableClient, bundle string) (*awshttp.BuildableClient, error) {
	data, err := os.ReadFile(bundle)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", bundle)
	}
	return client.WithTransportOptions(func(t *http.Transport) { t.TLSClientConfig.RootCAs = pool }), nil
}

// Account is the account that the credentials belong to.
func (c *Client) Account() string { return c.account }

// Region is the region that is spoken to.
func (c *Client) Region() string { return c.region }

// Endpoint is the base URL of the control plane, "" for AWS itself.
func (c *Client) Endpoint() string { return c.endpoint }

// Loopback reports whether the control plane is on this machine.
func (c *Client) Loopback() bool { return isLoopback(c.endpoint) }

// Caller is the ARN of whom the credentials are.
func (c *Client) Caller() string { return c.caller }

// AWS is the configuration of this client, endpoint included, for clients of other services.
func (c *Client) AWS() aws.Config { return c.config.Copy() }

// Gateway and Lambda are the SDK's clients, for scenarios/products.
func (c *Client) Gateway() *apigateway.Client { return c.gateway }

// Lambda is the SDK's client, see Gateway.
func (c *Client) Lambda() *lambda.Client { return c.lambda }

// Where names the stage, or the alias, for a person, and says plainly when it is not on AWS. The API's name is known once
// FindAPI or Read has seen it.
func (c *Client) Where(ref Ref) string {
	switch {
	case ref == Ref{}: // no stage yet, or several
		return c.where()
	case ref.Weighted():
		return fmt.Sprintf("%s, function %s, alias %s", c.where(), ref.Function, ref.Alias)
	}
	c.mu.Lock()
	api, name := ref.API, c.apis[ref.API].name
	c.mu.Unlock()
	if name != "" {
		api += " (" + name + ")"
	}
	return fmt.Sprintf("%s, API %s, stage %s", c.where(), api, ref.Stage)
}

func (c *Client) where() string {
	switch {
	case c.endpoint != "" && !c.Real():
		return "NOT AWS: " + c.endpoint
	case c.account == "":
		return "AWS " + c.region
	default:
		return fmt.Sprintf("AWS account %s, %s", c.account, c.region)
	}
}

// Real reports whether this is AWS itself, which its own endpoints given by URL are, too (VPC endpoints).
func (c *Client) Real() bool {
	if c.endpoint == "" {
		return true
	}
	u, err := url.Parse(c.endpoint)
	return err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}

var looksLikeID = regexp.MustCompile(`^[a-z0-9]{6,16}$`)

// FindAPI finds the one API with this id or name. An id needs no right to list the others.
func (c *Client) FindAPI(ctx context.Context, idOrName string) (string, error) {
	if looksLikeID.MatchString(idOrName) {
		if _, err := c.api(ctx, idOrName); err == nil {
			return idOrName, nil
		}
	}
	var named, all []string
	pages := apigateway.NewGetRestApisPaginator(c.gateway, &apigateway.GetRestApisInput{Limit: aws.Int32(500)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", fmt.Errorf("find API %s: %w", idOrName, condense(err))
		}
		for _, a := range page.Items {
			id, name := aws.ToString(a.Id), aws.ToString(a.Name)
			c.remember(id, api{name: name, disabled: a.DisableExecuteApiEndpoint, keys: string(a.ApiKeySource), tags: a.Tags})
			if id == idOrName {
				return id, nil
			}
			if name == idOrName {
				named = append(named, id)
			}
			all = append(all, fmt.Sprintf("%s (%s)", name, id))
		}
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		return "", fmt.Errorf("find API %s: %d APIs have this name: %s; give the id", idOrName, len(named), strings.Join(named, ", "))
	case len(all) == 0:
		return "", fmt.Errorf("find API %s: there is no REST API in %s", idOrName, c.where())
	case len(all) > 10:
		all = append(all[:10], "...")
	}
	return "", fmt.Errorf("find API %s: no REST API has this id or name; there are %s", idOrName, strings.Join(all, ", "))
}

func (c *Client) remember(id string, a api) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apis[id] = a
}

func isLoopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || endpoint == "" {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
