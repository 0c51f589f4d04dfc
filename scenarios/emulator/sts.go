package emulator

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
)

// queryProtocol answers STS, which speaks forms and XML: GetCallerIdentity only.
func (s *Server) queryProtocol(w http.ResponseWriter, r *http.Request) {
	id := requestID(r)
	in, err := read(w, r, 1<<20)
	if err != nil {
		respond(w, id, answer{}, err)
		return
	}
	form, _ := url.ParseQuery(string(in.body))
	var action bytes.Buffer
	xml.EscapeText(&action, []byte(form.Get("Action")))
	w.Header().Set("Content-Type", "text/xml")
	w.Header()["x-amzn-RequestId"] = []string{id}
	if action.String() != "GetCallerIdentity" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidAction</Code>`+
			`<Message>Could not find operation %s for version 2011-06-15</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, action.String(), id)
		return
	}
	var refused *refusal
	if err := s.plane.faults.Load().admission.admit(w, r, subject{action: "sts:GetCallerIdentity", resource: "*"}); asRefusal(err, &refused) {
		for name, value := range refused.header {
			w.Header()[name] = []string{value}
		}
		w.WriteHeader(refused.status)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code>`+
			`<Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, queryCode(refused.code), refused.text(), id)
		return
	}
	fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
		`<Arn>%s</Arn><UserId>AIDAEMULATOR</UserId><Account>%s</Account></GetCallerIdentityResult>`+
		`<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></GetCallerIdentityResponse>`, callerARN, account, id)
}

// queryCode is how the services that speak forms spell the codes that all services share.
func queryCode(code string) string {
	switch code {
	case "ExpiredTokenException":
		return "ExpiredToken"
	case "InvalidSignatureException":
		return "SignatureDoesNotMatch"
	case "AccessDeniedException":
		return "AccessDenied"
	case "TooManyRequestsException":
		return "Throttling"
	}
	return code
}
