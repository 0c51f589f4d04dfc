package attack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"
)

const (
	bufferBytes  = 2 << 10  // to begin with
	trailerBytes = 64 << 10 // longer trailers are no end of an answer
	chunkLine    = 4 << 10  // a longer line before a chunk is none
	chunkExcess  = 16 << 10 // so much more than its data may chunks say, as in net/http
	unlimited    = -1
)

// A parser takes answers of HTTP/1 off a connection, one after the other, and keeps each in its buffer until the next:
// it allocates for an answer that is longer than all before, and else nothing.
//
// It takes what net/http.ReadResponse takes (FuzzParser compares them) but for this: a status is three digits from 100
// up, where net/http takes -00 and +20; a Trailer field that announces a framing field is ignored, where net/http
// gives up; trailers may end in bare line feeds, and be longer than 4 KiB.
type parser struct {
	from io.Reader
	keep int // bytes of a body

	buf     []byte
	at, end int   // read, and not yet parsed
	got     int64 // bytes since begin
	left    int   // bytes that may still be read of a header; unlimited
	err     error // what comes after what was read

	status       int
	major, minor byte
	fields       []field
	closing      bool // the answer is the last on its connection
	chunked      bool
	length       int64 // -1: not said

	inBody           bool
	bodyAt, bodyEnds int   // in buf
	size             int64 // of the body, kept or not
}

// A field of a header; its bytes are those of the buffer.
type field struct{ name, value []byte }

// begin forgets the answer before.
func (p *parser) begin() {
	if len(p.buf) > 16*classifiedBytes {
		p.buf = nil
	}
	p.at, p.end, p.got, p.left, p.err = 0, 0, 0, headerBytes, nil
	p.forget()
}

func (p *parser) forget() {
	p.status, p.fields, p.closing, p.chunked, p.length = 0, p.fields[:0], false, false, -1
	p.inBody, p.bodyAt, p.bodyEnds, p.size = false, 0, 0, 0
}

// body is what is kept of it.
func (p *parser) body() []byte { return p.buf[p.bodyAt:p.bodyEnds] }

// value is a field's first value, nil where there is none.
func (p *parser) value(name string) []byte {
	for i := range p.fields {
		if f := &p.fields[i]; equalFold(f.name, name) {
			if len(f.value) == 0 {
				return nil
			}
			return f.value
		}
	}
	return nil
}

// header is a copy for those who have time.
func (p *parser) header() http.Header {
	h := make(http.Header, len(p.fields))
	for _, f := range p.fields {
		h.Add(string(f.name), string(f.value))
	}
	for _, hop := range []string{"Connection", "Transfer-Encoding", "Trailer"} {
		h.Del(hop)
	}
	return h
}

// answer reads one whole answer to a request of a method. Its status stays 0 where there is no header of one.
func (p *parser) answer(method string) error {
	for range mostInformative {
		if err := p.head(); err != nil {
			p.status = 0
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if p.status >= 200 || p.status == http.StatusSwitchingProtocols {
			p.left = unlimited
			p.inBody, p.bodyAt, p.bodyEnds = true, p.at, p.at
			return p.rest(method)
		}
		p.forget()
	}
	return errors.New("more than 5 answers of status 1xx")
}

// rest reads what follows a header.
func (p *parser) rest(method string) (err error) {
	switch {
	case method == http.MethodHead, p.status == http.StatusSwitchingProtocols, p.status == http.StatusNoContent, p.status == http.StatusNotModified:
		return nil
	case p.chunked:
		err = p.chunks()
	case p.length >= 0:
		err = p.take(p.length)
	default:
		p.closing = true
		for err == nil {
			p.put(int64(p.end - p.at))
			err = p.fill()
		}
		if err == io.EOF {
			return nil
		}
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// fill reads some more. What lies before a header's end stays where it is, as fields point there; between what is kept
// of a body and what is not yet parsed there may be a gap, which is closed.
func (p *parser) fill() error {
	if p.err != nil {
		return p.err
	}
	if p.inBody && p.at > p.bodyEnds {
		p.end = p.bodyEnds + copy(p.buf[p.bodyEnds:], p.buf[p.at:p.end])
		p.at = p.bodyEnds
	}
	if p.end == len(p.buf) {
		grown := make([]byte, max(bufferBytes, 2*len(p.buf)))
		copy(grown, p.buf[:p.end])
		p.buf = grown
	}
	to := p.buf[p.end:]
	if p.left >= 0 {
		to = to[:min(len(to), p.left)]
		if len(to) == 0 {
			return errors.New("a header without an end")
		}
	}
	n, err := p.from.Read(to)
	p.end += n
	p.got += int64(n)
	p.err = err
	if p.left >= 0 {
		p.left -= n
	}
	if n == 0 {
		return err
	}
	return nil
}

// line is the next one with its carriage return and without its line feed, valid until the next fill.
func (p *parser) line(most int) ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(p.buf[p.at+seen:p.end], '\n'); i >= 0 {
			line := p.buf[p.at : p.at+seen+i]
			p.at += seen + i + 1
			return line, nil
		}
		if seen = p.end - p.at; seen > most {
			return nil, errors.New("a line that is too long")
		}
		if err := p.fill(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) head() error {
	line, err := p.line(headerBytes)
	if err != nil {
		return err
	}
	if err := p.statusLine(withoutCR(line)); err != nil {
		return err
	}
	if err := p.readFields(); err != nil {
		return err
	}
	return p.framing()
}

func withoutCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

var errNotHTTP = errors.New("not an answer of HTTP/1")

// statusLine reads "HTTP/1.1 200 OK", of which the last word may be missing.
func (p *parser) statusLine(line []byte) error {
	const version = len("HTTP/1.1")
	if len(line) < version+4 || string(line[:5]) != "HTTP/" || !isDigit(line[5]) || line[6] != '.' || !isDigit(line[7]) || line[8] != ' ' {
		return errNotHTTP
	}
	p.major, p.minor = line[5]-'0', line[7]-'0'
	rest := bytes.TrimLeft(line[version:], " ")
	if len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' || rest[0] < '1' || rest[0] > '9' || !isDigit(rest[1]) || !isDigit(rest[2]) {
		return errNotHTTP
	}
	p.status = int(rest[0]-'0')*100 + int(rest[1]-'0')*10 + int(rest[2]-'0')
	return nil
}

var errField = errors.New("a header line that is none")

// readFields reads header or trailer lines to the empty line.
func (p *parser) readFields() error {
	for first := true; ; first = false {
		line, err := p.line(headerBytes)
		if err != nil {
			return err
		}
		if line = withoutCR(line); len(line) == 0 {
			return nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			if first {
				return errField
			}
			if err := p.fold(trim(line)); err != nil {
				return err
			}
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			return errField
		}
		f := field{line[:colon], trim(line[colon+1:])}
		if !validName(f.name) || !validValue(f.value) {
			return errField
		}
		p.fields = append(p.fields, f)
	}
}

// fold adds a line to the value before: obsolete, and still seen. It does so in place, because the line lies behind the
// value; where the buffer grew in between it lies elsewhere, and append makes room.
func (p *parser) fold(more []byte) error {
	if !validValue(more) {
		return errField
	}
	last := &p.fields[len(p.fields)-1]
	if len(last.value) > 0 {
		last.value = append(last.value, ' ')
	}
	last.value = append(last.value, more...)
	return nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// nameBytes may be in a field's name: those of a token, and the space before the colon that old servers send.
var nameBytes = func() (valid [256]bool) {
	for c := range valid {
		valid[c] = c == ' ' || c < 0x80 && validToken(string(rune(c)))
	}
	return valid
}()

func validName(name []byte) bool {
	for _, c := range name {
		if !nameBytes[c] {
			return false
		}
	}
	return true
}

// validValue refuses control characters but the tab. Eight bytes at a time: where none of them is below a space or
// DEL, which the two subtractions tell, there is nothing to look at.
func validValue(value []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for len(value) >= 8 {
		x := binary.LittleEndian.Uint64(value)
		del := x ^ 0x7f*ones
		if ((x-' '*ones)&^x|(del-ones)&^del)&tops != 0 && !validFieldValue(string(value[:8])) {
			return false
		}
		value = value[8:]
	}
	return validFieldValue(string(value))
}

// equalFold compares a name with one of ASCII.
func equalFold(name []byte, with string) bool {
	if len(name) != len(with) {
		return false
	}
	for i, c := range name {
		if d := with[i]; c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

func (p *parser) before(major, minor byte) bool {
	return p.major < major || p.major == major && p.minor < minor
}

var errLength = errors.New("a Content-Length that is none")

// framing takes from the fields where the answer ends, and whether another can follow.
func (p *parser) framing() error {
	var said []byte
	encodings, keepAlive := 0, false
	for i := range p.fields {
		f := &p.fields[i]
		switch len(f.name) {
		case len("Connection"):
			if equalFold(f.name, "Connection") {
				p.closing = p.closing || hasToken(f.value, "close")
				keepAlive = keepAlive || hasToken(f.value, "keep-alive")
			}
		case len("Content-Length"):
			if equalFold(f.name, "Content-Length") {
				value := trim(f.value)
				n, err := strconv.ParseUint(string(value), 10, 63)
				if err != nil || said != nil && !bytes.Equal(said, value) {
					return errLength
				}
				said, p.length = value, int64(n)
			}
		case len("Transfer-Encoding"):
			if equalFold(f.name, "Transfer-Encoding") && (!p.before(1, 1) || p.major+p.minor == 0) {
				if encodings++; encodings > 1 || !equalFold(f.value, "chunked") {
					return errors.New("a Transfer-Encoding other than chunked")
				}
				p.chunked = true
			}
		}
	}
	if p.major < 1 || p.major == 1 && p.minor == 0 && !keepAlive {
		p.closing = true
	}
	return nil
}

// hasToken says whether a list like "close, upgrade" has a token.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		one, rest, _ := bytes.Cut(list, []byte(","))
		if equalFold(trim(one), token) {
			return true
		}
		list = rest
	}
	return false
}

// take reads n bytes of the body.
func (p *parser) take(n int64) error {
	for {
		some := min(n, int64(p.end-p.at))
		p.put(some)
		if n -= some; n == 0 {
			return nil
		}
		if err := p.fill(); err != nil {
			return err
		}
	}
}

// put moves n bytes from what was read to what is kept of the body, those beyond it to nowhere. Without chunks they
// are where they belong already.
func (p *parser) put(n int64) {
	kept := min(int(n), p.keep-(p.bodyEnds-p.bodyAt))
	if p.bodyEnds != p.at {
		copy(p.buf[p.bodyEnds:], p.buf[p.at:p.at+kept])
	}
	p.bodyEnds += kept
	p.at += int(n)
	p.size += n
}

var errChunk = errors.New("a chunk that is none")

func (p *parser) chunks() error {
	for excess := int64(0); ; {
		line, err := p.line(chunkLine)
		if err != nil {
			return err
		}
		n, err := chunkSize(line)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if excess = max(0, excess+int64(len(line))+1-16-2*min(n, 1<<32)); excess > chunkExcess {
			return errors.New("chunks with next to nothing in them")
		}
		if err := p.take(n); err != nil {
			return err
		}
		if end, err := p.line(1); err != nil {
			return err
		} else if string(end) != "\r" {
			return errChunk
		}
	}
	return p.trailers()
}

// trailers are read for their end only.
func (p *parser) trailers() error {
	header := len(p.fields)
	p.left, p.inBody = trailerBytes, false // fields stay where they are
	err := p.readFields()
	p.left = unlimited
	p.fields = p.fields[:header]
	return err
}

// chunkSize reads "1f;extension\r".
func chunkSize(line []byte) (n int64, err error) {
	if len(line) == 0 || len(line) > chunkLine || bytes.IndexByte(line, '\r') != len(line)-1 {
		return 0, errChunk
	}
	line, _, _ = bytes.Cut(line[:len(line)-1], []byte(";"))
	for len(line) > 0 && (line[len(line)-1] == ' ' || line[len(line)-1] == '\t') {
		line = line[:len(line)-1]
	}
	x, err := strconv.ParseUint(string(line), 16, 63)
	if err != nil || len(line) > 16 {
		return 0, errChunk
	}
	return int64(x), nil
}
