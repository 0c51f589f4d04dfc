package attack

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"
)

// parsed is what a parser makes of some bytes.
type parsed struct {
	Status  int
	Header  http.Header
	Body    string // all of it
	Whole   bool
	Closing bool
	Left    int // bytes behind the answer
}

func hear(wire []byte, method string, some int) parsed {
	p := parser{from: &dribble{wire, some}, keep: 1 << 20}
	p.begin()
	err := p.answer(method)
	h := parsed{Status: p.status, Whole: err == nil}
	if p.status != 0 {
		h.Header, h.Body = p.header(), string(p.body())
	}
	if h.Whole {
		h.Closing = p.closing || p.status == http.StatusSwitchingProtocols
		rest, _ := io.ReadAll(p.from)
		h.Left = p.end - p.at + len(rest)
	}
	return h
}

// dribble gives so many bytes at a time.
type dribble struct {
	left []byte
	some int
}

func (d *dribble) Read(b []byte) (int, error) {
	if len(d.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), d.some)], d.left)
	d.left = d.left[n:]
	return n, nil
}

// hearNetHTTP is the same of net/http.
func hearNetHTTP(wire []byte, method string) (h parsed) {
	br := bufio.NewReader(bytes.NewReader(wire))
	for range mostInformative {
		response, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return parsed{}
		}
		if response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		body, err := io.ReadAll(response.Body)
		rest, _ := io.ReadAll(br)
		h = parsed{Status: response.StatusCode, Header: response.Header, Body: string(body), Whole: err == nil}
		if h.Whole {
			h.Closing, h.Left = response.Close || h.Status == http.StatusSwitchingProtocols, len(rest)
		}
		return h
	}
	return parsed{}
}

func (h parsed) diff(want parsed) string {
	for _, hop := range []string{"Connection", "Transfer-Encoding", "Trailer", "Content-Length", "Cache-Control"} { // net/http takes out, or puts in
		want.Header.Del(hop)
		h.Header.Del(hop)
	}
	switch {
	case h.Status != want.Status:
		return "status"
	case h.Whole != want.Whole:
		return "whole"
	case h.Body != want.Body && (h.Whole || !strings.HasPrefix(h.Body, want.Body)): // of half a body it may hand out less
		return "body"
	case h.Closing != want.Closing:
		return "closing"
	case h.Left != want.Left:
		return "left"
	case len(h.Header) != len(want.Header):
		return "number of fields"
	}
	for name, values := range want.Header {
		got := h.Header[name]
		if len(got) != len(values) {
			return name
		}
		for i := range values {
			if strings.Join(strings.Fields(got[i]), " ") != strings.Join(strings.Fields(values[i]), " ") { // folded lines keep other spaces
				return name
			}
		}
	}
	return ""
}

// stricter says where the two are meant to differ: see parser.
func stricter(wire []byte, method string) bool {
	br := bufio.NewReader(bytes.NewReader(wire))
	for {
		line, err := textproto.NewReader(br).ReadLine()
		if err != nil {
			return false
		}
		_, status, _ := strings.Cut(line, " ")
		status = strings.TrimLeft(status, " ")
		if strings.HasPrefix(status, "0") || strings.HasPrefix(status, "+") || strings.HasPrefix(status, "-") {
			return true
		}
		header, err := textproto.NewReader(br).ReadMIMEHeader()
		if err != nil {
			return false
		}
		if len(header["Trailer"]) > 0 {
			return true
		}
		if !strings.HasPrefix(status, "1") {
			break
		}
	}
	rest, _ := io.ReadAll(br) // maybe trailers
	bare := bytes.Count(rest, []byte("\n")) - bytes.Count(rest, []byte("\r\n"))
	return bytes.Contains(bytes.ToLower(wire), []byte("chunked")) && (bare > 0 || len(rest) > 4096)
}

var answers = []string{
	"HTTP/1.1 200 OK\r\nX-Lambda-Version: 2\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length:  2 \r\n\r\nok and more",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 02\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n \r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf",
	"HTTP/1.1 200\r\n\r\nto the end",
	"HTTP/1.0 200 OK\nConnection: Keep-Alive\nContent-Length: 2\n\nok",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"HTTP/0.9 200 OK\r\n\r\nok",
	"HTTP/2.0 200 OK\r\nConnection: a, Close\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1  200  OK\r\nA: b\r\n c\r\n\t d\r\nE:\r\n f\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA : b\r\nB\x01: c\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: long enough to be looked at by eights\x7f and more\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: long\tenough to be looked at by eights \xff\x80 and more\r\n\r\n",
	"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
	"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n2;a=\"b\"\r\nok\r\n3 \r\nyes\r\n0\r\nX-Sum: 1\r\n\r\nmore",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok..0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000002\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nno colon\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n \r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 101 Switching\r\nUpgrade: a\r\n\r\nbytes",
	"HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 20 OK\r\n\r\n",
	"HTTP/1.1 2000 OK\r\n\r\n",
	"HTTP/1.1 200OK\r\n\r\n",
	"HTTP/11 200 OK\r\n\r\n",
	"SSH-2.0-OpenSSH\r\n",
	"",
}

// The two agree about everything, however the bytes come.
func FuzzParser(f *testing.F) {
	for _, a := range answers {
		for _, some := range []byte{1, 7, 255} {
			f.Add([]byte(a), false, some)
			f.Add([]byte(a), true, some)
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte, head bool, some byte) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		if stricter(wire, method) {
			hear(wire, method, int(some)+1) // it does not panic
			return
		}
		got, want := hear(wire, method, int(some)+1), hearNetHTTP(wire, method)
		if d := got.diff(want); d != "" {
			t.Errorf("%s: %q is\n%+v, to net/http\n%+v", d, wire, got, want)
		}
	})
}

// What net/http takes and we do not, and the other way round.
func TestParserDiffersWhereItSays(t *testing.T) {
	for wire, whole := range map[string]bool{
		"HTTP/1.1 +20 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                                            false,
		"HTTP/1.1 -00 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                                            false,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 1\r\n\r\n": true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\n":                                             true,
	} {
		if got := hear([]byte(wire), http.MethodGet, 4096); got.Whole != whole {
			t.Errorf("%q: %+v", wire, got)
		}
		if got := hearNetHTTP([]byte(wire), http.MethodGet); got.Whole == whole {
			t.Errorf("net/http has come to the same: %q", wire)
		}
	}
}

// Trailers that make the buffer grow leave the body alone, and a body that is not kept takes no room.
func TestParserBuffer(t *testing.T) {
	long := strings.Repeat("b", 3*bufferBytes)
	wire := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for range 1000 {
		wire += "400\r\n" + strings.Repeat("x", 1024) + "\r\n"
	}
	wire += "0\r\nA: " + long + "\r\n and more\r\n\r\n"
	for _, some := range []int{13, 1000, 1 << 20} {
		p := parser{from: &dribble{[]byte(wire), some}, keep: 10000}
		p.begin()
		if err := p.answer(http.MethodGet); err != nil || p.size != 1024000 || string(p.body()) != strings.Repeat("x", 10000) {
			t.Errorf("%d at a time: %v, %d bytes, %d kept", some, err, p.size, len(p.body()))
		}
		if len(p.buf) > 64<<10 {
			t.Errorf("%d at a time: a buffer of %d bytes for 10,000", some, len(p.buf))
		}
	}
}

func TestParserEndsHeadersWithoutEnd(t *testing.T) {
	for _, endless := range []string{"HTTP/1.1 200 OK\r\nA: ", "HTTP/1.1 200 OK\r\n", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"} {
		p := parser{from: io.MultiReader(strings.NewReader(endless), &endlessly{"a:bcdefg"}), keep: 100}
		p.begin()
		if err := p.answer(http.MethodGet); err == nil || p.got > 2*headerBytes {
			t.Errorf("%q: %v after %d bytes", endless, err, p.got)
		}
	}
}

type endlessly struct{ text string }

func (e *endlessly) Read(b []byte) (n int, err error) {
	for n < len(b) {
		n += copy(b[n:], e.text)
	}
	return n, nil
}

// An error of the connection is told as it is, and after what came before it.
func TestParserTellsTheError(t *testing.T) {
	broken := errors.New("broken")
	from := io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhal"), iotest.ErrReader(broken))
	p := parser{from: from, keep: 100}
	p.begin()
	if err := p.answer(http.MethodGet); err != broken || p.status != 200 || string(p.body()) != "hal" {
		t.Errorf("%v, status %d, %q", err, p.status, p.body())
	}
}

func BenchmarkParser(b *testing.B) {
	wire := []byte("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 12:30:36 GMT\r\nContent-Type: application/json\r\nContent-Length: 23\r\n" +
		"Connection: keep-alive\r\nX-Lambda-Version: 1\r\n\r\n{\"products\":[{\"id\":1}]}")
	from := &dribble{some: 1 << 20}
	p := parser{from: from, keep: classifiedBytes}
	b.ReportAllocs()
	for b.Loop() {
		from.left = wire
		p.begin()
		if err := p.answer(http.MethodGet); err != nil || len(p.value("X-Lambda-Version")) != 1 {
			b.Fatal(err)
		}
	}
}
