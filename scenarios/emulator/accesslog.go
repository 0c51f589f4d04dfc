package emulator

import (
	"strings"
	"time"
)

// accessLog is a stage's: one event a request, and a canary's both in the group and in its twin, whose name ends in /Canary.
type accessLog struct {
	group, region string
	format        template
}

// newAccessLog is nil without a log group to write to, or without a format. Firehose streams are not emulated.
func newAccessLog(s *accessLogSettings) *accessLog {
	if s == nil || s.Format == "" {
		return nil
	}
	group, region := logGroupOf(s.DestinationARN)
	if group == "" {
		return nil
	}
	return &accessLog{group: group, region: region, format: logFormat(s.Format)}
}

// validateAccessLog holds to the rules of the guide ([DOC] set-up-logging); how AWS words its refusals is not recorded.
func validateAccessLog(op patchOperation) error {
	if op.Path == "/accessLogSettings/format" {
		if !strings.Contains(op.Value, "$context.requestId") && !strings.Contains(op.Value, "$context.extendedRequestId") {
			return badRequest("Invalid access log format: it must contain at least $context.requestId or $context.extendedRequestId")
		}
		if strings.Contains(strings.TrimSuffix(op.Value, "\n"), "\n") {
			return badRequest("Access Log format must be single line, new line character is allowed only at end of the format")
		}
		return nil
	}
	if name, _ := logGroupOf(op.Value); name == "" && !strings.HasPrefix(op.Value, "arn:aws:firehose:") {
		return badRequest("Invalid ARN specified in the request. ARNs must start with 'arn:' and include at least region, account, service and resource: %s", op.Value)
	}
	return nil
}

// logFormat leaves nothing of a variable that it does not know but a dash.
func logFormat(format string) template {
	return newTemplate(strings.TrimSuffix(format, "\n"), "-", func(name string) variable {
		name, found := strings.CutPrefix(name, "context.")
		if v := contextVariable(name); v != nil || !found {
			return v
		}
		return func(b []byte, _ *exchange) []byte { return b }
	})
}

// logGroupOf reads arn:aws:logs:{region}:{account}:log-group:{name}, with :* after it or not.
func logGroupOf(arn string) (name, region string) {
	parts := strings.SplitN(strings.TrimSuffix(arn, ":*"), ":", 7)
	if len(parts) != 7 || parts[0] != "arn" || parts[2] != "logs" || parts[5] != "log-group" || !isGroupName(parts[6]) {
		return "", ""
	}
	return parts[6], parts[3]
}

// finish notes how a request ended, and logs it. A 413 is not logged ([DOC] set-up-logging); a request that the client gave up
// is, with no status: it has none, and an access log on AWS would have its later one.
func (p *plane) finish(x *exchange, a reply) {
	x.done, x.latency = true, time.Since(x.begun)
	x.status, x.length = a.status, len(a.body)
	if a.response == tooLarge.response {
		return
	}
	message := string(x.log.format.append(make([]byte, 0, 512), x))
	stream := int(x.draw.share(forHost) * hostCount)
	delay := x.faults.Logs.Delay
	p.logs.group(x.log.group, x.log.region).put(stream, message, delay)
	if x.canary {
		p.logs.group(x.log.group+"/Canary", x.log.region).put(stream, message, delay)
	}
}
