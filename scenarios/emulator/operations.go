package emulator

import (
	"math/rand/v2"
	"net/http"
	"sync"
)

// control is what the control planes know. Everything in it is guarded by mu; what the data plane needs is published to
// plane as immutable views after each change.
type control struct {
	mu        sync.Mutex
	apis      map[string]*restAPI
	domains   map[string]*domain
	functions map[string]*function
	handlers  map[string]Handler
	roles     map[string]*iamRole
	plane     *plane
	fleet     *fleet // nil: packages are not run
}

func (c *control) init(p *plane) {
	c.apis = map[string]*restAPI{}
	c.domains = map[string]*domain{}
	c.functions = map[string]*function{}
	c.handlers = map[string]Handler{}
	c.roles = map[string]*iamRole{}
	c.plane = p
}

// newID is an identifier as API Gateway makes them. Unlike the faults it does not follow from the seed: a journal or a run
// file of an emulator that is gone must not seem to be about this one.
func newID(length int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, length)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

func newRevision() string { return string(appendUUID(nil, rand.Uint64(), rand.Uint64())) }

type operation func(*control, *call) (answer, error)

// controlOperations maps a method and a path to what it does. Paths of the services do not collide.
var controlOperations = map[string]operation{
	"POST /restapis":         (*control).createRestAPI,
	"GET /restapis":          (*control).getRestAPIs,
	"GET /restapis/{api}":    (*control).getRestAPI,
	"PATCH /restapis/{api}":  (*control).updateRestAPI,
	"DELETE /restapis/{api}": (*control).deleteRestAPI,

	"GET /restapis/{api}/resources":               (*control).getResources,
	"POST /restapis/{api}/resources/{resource}":   (*control).createResource,
	"GET /restapis/{api}/resources/{resource}":    (*control).getResource,
	"DELETE /restapis/{api}/resources/{resource}": (*control).deleteResource,

	"PUT /restapis/{api}/resources/{resource}/methods/{verb}":    (*control).putMethod,
	"GET /restapis/{api}/resources/{resource}/methods/{verb}":    (*control).getMethod,
	"DELETE /restapis/{api}/resources/{resource}/methods/{verb}": (*control).deleteMethod,

	"PUT /restapis/{api}/resources/{resource}/methods/{verb}/responses/{status}":    (*control).putMethodResponse,
	"GET /restapis/{api}/resources/{resource}/methods/{verb}/responses/{status}":    (*control).getMethodResponse,
	"DELETE /restapis/{api}/resources/{resource}/methods/{verb}/responses/{status}": (*control).deleteMethodResponse,

	"PUT /restapis/{api}/resources/{resource}/methods/{verb}/integration":    (*control).putIntegration,
	"GET /restapis/{api}/resources/{resource}/methods/{verb}/integration":    (*control).getIntegration,
	"PATCH /restapis/{api}/resources/{resource}/methods/{verb}/integration":  (*control).updateIntegration,
	"DELETE /restapis/{api}/resources/{resource}/methods/{verb}/integration": (*control).deleteIntegration,

	"PUT /restapis/{api}/resources/{resource}/methods/{verb}/integration/responses/{status}":    (*control).putIntegrationResponse,
	"GET /restapis/{api}/resources/{resource}/methods/{verb}/integration/responses/{status}":    (*control).getIntegrationResponse,
	"DELETE /restapis/{api}/resources/{resource}/methods/{verb}/integration/responses/{status}": (*control).deleteIntegrationResponse,

	"POST /restapis/{api}/deployments":                (*control).createDeployment,
	"GET /restapis/{api}/deployments":                 (*control).getDeployments,
	"GET /restapis/{api}/deployments/{deployment}":    (*control).getDeployment,
	"PATCH /restapis/{api}/deployments/{deployment}":  (*control).updateDeployment,
	"DELETE /restapis/{api}/deployments/{deployment}": (*control).deleteDeployment,

	"POST /restapis/{api}/stages":                      (*control).createStage,
	"GET /restapis/{api}/stages":                       (*control).getStages,
	"GET /restapis/{api}/stages/{stage}":               (*control).getStage,
	"PATCH /restapis/{api}/stages/{stage}":             (*control).updateStage,
	"DELETE /restapis/{api}/stages/{stage}":            (*control).deleteStage,
	"DELETE /restapis/{api}/stages/{stage}/cache/data": (*control).flushStageCache,

	"GET /restapis/{api}/gatewayresponses":           (*control).getGatewayResponses,
	"PUT /restapis/{api}/gatewayresponses/{type}":    (*control).putGatewayResponse,
	"GET /restapis/{api}/gatewayresponses/{type}":    (*control).getGatewayResponse,
	"DELETE /restapis/{api}/gatewayresponses/{type}": (*control).deleteGatewayResponse,

	"POST /domainnames":                                    (*control).createDomainName,
	"GET /domainnames":                                     (*control).getDomainNames,
	"GET /domainnames/{domain}":                            (*control).getDomainName,
	"DELETE /domainnames/{domain}":                         (*control).deleteDomainName,
	"POST /domainnames/{domain}/basepathmappings":          (*control).createBasePathMapping,
	"GET /domainnames/{domain}/basepathmappings":           (*control).getBasePathMappings,
	"GET /domainnames/{domain}/basepathmappings/{base}":    (*control).getBasePathMapping,
	"PATCH /domainnames/{domain}/basepathmappings/{base}":  (*control).updateBasePathMapping,
	"DELETE /domainnames/{domain}/basepathmappings/{base}": (*control).deleteBasePathMapping,

	"GET /account":          (*control).getAccount,
	"GET /tags/{arn...}":    (*control).getTags,
	"PUT /tags/{arn...}":    (*control).tagResource,
	"DELETE /tags/{arn...}": (*control).untagResource,

	"GET /2015-03-31/functions":                               (*control).listFunctions,
	"POST /2015-03-31/functions":                              (*control).createFunction,
	"GET /2015-03-31/functions/{function}":                    (*control).getFunction,
	"DELETE /2015-03-31/functions/{function}":                 (*control).deleteFunction,
	"GET /2015-03-31/functions/{function}/configuration":      (*control).getFunctionConfiguration,
	"PUT /2015-03-31/functions/{function}/configuration":      (*control).updateFunctionConfiguration,
	"PUT /2015-03-31/functions/{function}/code":               (*control).updateFunctionCode,
	"GET /2015-03-31/functions/{function}/versions":           (*control).listVersions,
	"POST /2015-03-31/functions/{function}/versions":          (*control).publishVersion,
	"GET /2015-03-31/functions/{function}/aliases":            (*control).listAliases,
	"POST /2015-03-31/functions/{function}/aliases":           (*control).createAlias,
	"GET /2015-03-31/functions/{function}/aliases/{alias}":    (*control).getAlias,
	"PUT /2015-03-31/functions/{function}/aliases/{alias}":    (*control).updateAlias,
	"DELETE /2015-03-31/functions/{function}/aliases/{alias}": (*control).deleteAlias,
	"GET /2015-03-31/functions/{function}/policy":             (*control).getPolicy,
	"POST /2015-03-31/functions/{function}/policy":            (*control).addPermission,
	"DELETE /2015-03-31/functions/{function}/policy/{sid}":    (*control).removePermission,

	"GET /2019-09-30/functions/{function}/provisioned-concurrency":    (*control).getProvisionedConcurrency,
	"PUT /2019-09-30/functions/{function}/provisioned-concurrency":    (*control).putProvisionedConcurrency,
	"DELETE /2019-09-30/functions/{function}/provisioned-concurrency": (*control).deleteProvisionedConcurrency,
	"GET /2019-09-30/functions/{function}/concurrency":                (*control).getFunctionConcurrency,
	"PUT /2017-10-31/functions/{function}/concurrency":                (*control).putFunctionConcurrency,
	"DELETE /2017-10-31/functions/{function}/concurrency":             (*control).deleteFunctionConcurrency,
	"GET /2016-08-19/account-settings":                                (*control).getAccountSettings,

	"GET /2017-03-31/tags/{arn...}":    (*control).listFunctionTags,
	"POST /2017-03-31/tags/{arn...}":   (*control).tagFunction,
	"DELETE /2017-03-31/tags/{arn...}": (*control).untagFunction,
}

func operations(s *Server) *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, do := range controlOperations {
		mux.Handle(pattern, s.locked(do))
	}
	// These two run a function, so they take no lock while they wait for it.
	mux.Handle("POST /2015-03-31/functions/{function}/invocations", s.unlocked((*control).invoke))
	mux.Handle(testInvoke, s.unlocked((*control).testInvokeMethod))
	mux.HandleFunc("POST /{$}", s.rpc)
	mux.HandleFunc("POST "+metricPath, s.metrics)
	mux.HandleFunc("/", unknownOperation)
	for _, tags := range []string{"/tags", "/2017-03-31/tags"} { // the mux would redirect them to the same with a slash
		mux.HandleFunc(tags, unknownOperation)
	}
	return mux
}

func (s *Server) locked(do operation) http.Handler {
	return s.unlocked(func(c *control, in *call) (answer, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		a, err := do(c, in)
		if err == nil && a.body != nil { // written out while nothing can change it
			a.body = encode(a.body)
		}
		return a, err
	})
}

func (s *Server) unlocked(do operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := read(w, r, maxBody)
		var a answer
		if err == nil {
			err = s.admit(w, r)
		}
		if err == nil {
			a, err = do(&s.control, in)
		}
		respond(w, requestID(r), a, err)
	})
}
