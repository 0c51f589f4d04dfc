package emulator

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
)

// queryProtocol answers the services that speak forms and XML: of STS GetCallerIdentity, of IAM what a role needs.
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
	asked := subject{action: "sts:GetCallerIdentity", resource: "*"}
	if roleOperations[action.String()] != nil {
		asked = subject{action: "iam:" + action.String(), resource: "arn:aws:iam::" + account + ":role/" + form.Get("RoleName")}
	} else if action.String() != "GetCallerIdentity" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidAction</Code>`+
			`<Message>Could not find operation %s for version 2011-06-15</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, action.String(), id)
		return
	}
	err = s.plane.faults.Load().admission.admit(w, r, asked)
	var said string
	if err == nil && roleOperations[action.String()] != nil {
		said, err = s.control.roleAnswer(action.String(), form, id)
	}
	var refused *refusal
	if asRefusal(err, &refused) {
		for name, value := range refused.header {
			w.Header()[name] = []string{value}
		}
		w.WriteHeader(refused.status)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code>`+
			`<Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, queryCode(refused.code), html.EscapeString(refused.text()), id)
		return
	}
	if said != "" {
		io.WriteString(w, said)
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
