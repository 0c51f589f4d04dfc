package emulator

import (
	"encoding/base64"
	"net"
	"net/http"
	"unicode/utf8"
)

// Event is what API Gateway hands a function (AWS_PROXY, format 1.0).
type Event struct {
	Resource                        string              `json:"resource"`
	Path                            string              `json:"path"`
	HTTPMethod                      string              `json:"httpMethod"`
	Headers                         map[string]string   `json:"headers"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters"`
	PathParameters                  map[string]string   `json:"pathParameters"`
	StageVariables                  map[string]string   `json:"stageVariables"`
	RequestContext                  RequestContext      `json:"requestContext"`
	Body                            *string             `json:"body"`
	IsBase64Encoded                 bool                `json:"isBase64Encoded"`
}

// RequestContext is the part of $context that reaches a function.
type RequestContext struct {
	ResourceID        string   `json:"resourceId"`
	ResourcePath      string   `json:"resourcePath"`
	HTTPMethod        string   `json:"httpMethod"`
	ExtendedRequestID string   `json:"extendedRequestId"`
	RequestTime       string   `json:"requestTime"`
	Path              string   `json:"path"`
	AccountID         string   `json:"accountId"`
	Protocol          string   `json:"protocol"`
	Stage             string   `json:"stage"`
	DomainName        string   `json:"domainName"`
	RequestTimeEpoch  int64    `json:"requestTimeEpoch"` // ms
	RequestID         string   `json:"requestId"`
	Identity          Identity `json:"identity"`
	DeploymentID      string   `json:"deploymentId"` // the canary's own, for its requests
	APIID             string   `json:"apiId"`
}

// Identity is who asked.
type Identity struct {
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

const requestTime = "02/Jan/2006:15:04:05 -0700"

func sourceIP(r *http.Request) string {
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	return ip
}

func (x *exchange) event(r *http.Request, to target, a *arm, route *route, parameters map[string]string, body []byte) Event {
	at := x.begun.UTC()
	shown := to.path
	if to.custom {
		shown = to.asked
	}
	e := Event{
		Resource:          route.path,
		Path:              shown,
		HTTPMethod:        r.Method,
		Headers:           make(map[string]string, len(r.Header)+1),
		MultiValueHeaders: r.Header,
		PathParameters:    parameters,
		StageVariables:    a.variables,
		RequestContext: RequestContext{
			ResourceID:        route.resourceID,
			ResourcePath:      route.path,
			HTTPMethod:        r.Method,
			ExtendedRequestID: x.extendedID,
			RequestTime:       at.Format(requestTime),
			Path:              to.full(),
			AccountID:         account,
			Protocol:          "HTTP/1.1",
			Stage:             a.stage,
			DomainName:        r.Host,
			RequestTimeEpoch:  at.UnixMilli(),
			RequestID:         x.requestID,
			Identity:          Identity{SourceIP: sourceIP(r), UserAgent: r.UserAgent()},
			DeploymentID:      a.deploymentID,
			APIID:             to.key.api,
		},
	}
	for name, values := range r.Header {
		e.Headers[name] = values[len(values)-1]
	}
	e.Headers["Host"] = r.Host
	if r.URL.RawQuery != "" {
		e.MultiValueQueryStringParameters = r.URL.Query()
		e.QueryStringParameters = map[string]string{}
		for name, values := range e.MultiValueQueryStringParameters {
			e.QueryStringParameters[name] = values[len(values)-1]
		}
	}
	if len(body) > 0 {
		text := string(body)
		if !utf8.Valid(body) {
			text, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		}
		e.Body = &text
	}
	return e
}
