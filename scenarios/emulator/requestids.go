package emulator

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"time"
)

// requestID is the client's own, if it sent a UUID, else a new one: access logs join on it ([DOC] set-up-logging).
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Amzn-Requestid"); isUUID(id) {
		return id
	}
	return newRevision()
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func appendUUID(b []byte, high, low uint64) []byte {
	high = high&^0xf000 | 0x4000
	low = low&^(3<<62) | 2<<62
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], high)
	binary.BigEndian.PutUint64(raw[8:], low)
	for i, part := range [][]byte{raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return b
}

// appendExtendedID has the form of x-amz-apigw-id: "K2G9wEbUoAMEvag=".
func appendExtendedID(b []byte, bits uint64) []byte {
	var raw [11]byte
	binary.BigEndian.PutUint64(raw[:8], bits)
	binary.BigEndian.PutUint16(raw[8:10], uint16(mix(bits)))
	return base64.URLEncoding.AppendEncode(b, raw[:])
}

// appendTrace has the form of X-Amzn-Trace-Id: "Root=1-5e66d96f-7491f0917491f0917491f091".
func appendTrace(b []byte, at time.Time, bits uint64) []byte {
	var raw [16]byte
	binary.BigEndian.PutUint32(raw[:4], uint32(at.Unix()))
	binary.BigEndian.PutUint64(raw[4:12], bits)
	binary.BigEndian.PutUint32(raw[12:], uint32(mix(bits)))
	b = append(b, "Root=1-"...)
	b = hex.AppendEncode(b, raw[:4])
	b = append(b, '-')
	return hex.AppendEncode(b, raw[4:])
}
