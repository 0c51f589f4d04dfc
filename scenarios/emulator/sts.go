package emulator

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
)

// queryProtocol answers STS, which speaks forms and XML: GetCallerIdentity only.
func queryProtocol(w http.ResponseWriter, r *http.Request) {
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
	fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
		`<Arn>arn:aws:iam::%[1]s:user/emulator</Arn><UserId>AIDAEMULATOR</UserId><Account>%[1]s</Account></GetCallerIdentityResult>`+
		`<ResponseMetadata><RequestId>%[2]s</RequestId></ResponseMetadata></GetCallerIdentityResponse>`, account, id)
}
