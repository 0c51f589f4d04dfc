package emulator

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

type entry struct {
	name string
	mode fs.FileMode
	data string
}

func packed(t testing.TB, entries ...entry) []byte {
	t.Helper()
	file, err := pack(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func pack(entries ...entry) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		f.Write([]byte(e.data))
	}
	err := w.Close()
	return b.Bytes(), err
}

func TestPackagesThatAreRefused(t *testing.T) {
	good := entry{"bootstrap", 0o755, "#!/bin/sh\n"}
	many := []entry{good}
	for i := range maxFiles {
		many = append(many, entry{strconv.Itoa(i), 0o644, ""})
	}
	zeros := strings.Repeat("\x00", 90<<20)
	corrupt := packed(t, good, entry{"data", 0o644, "0123456789012345678901234567890123456789"})
	at := bytes.Index(corrupt, []byte("data")) + 6
	corrupt[at] ^= 0xff
	for name, test := range map[string]struct {
		file []byte
		says string
	}{
		"no bootstrap":      {packed(t, entry{"main", 0o755, "x"}), "has no bootstrap at its root"},
		"in a folder":       {packed(t, entry{"bin/bootstrap", 0o755, "x"}), "has no bootstrap at its root"},
		"a folder":          {packed(t, entry{"bootstrap/", fs.ModeDir | 0o755, ""}), "has no bootstrap at its root"},
		"not executable":    {packed(t, entry{"bootstrap", 0o644, "x"}), "is not executable"},
		"out of it":         {packed(t, good, entry{"../evil", 0o644, "x"}), `"../evil", which is no name inside it`},
		"out of it, deeper": {packed(t, good, entry{"a/../../evil", 0o644, "x"}), "which is no name inside it"},
		"absolute":          {packed(t, good, entry{"/etc/evil", 0o644, "x"}), "which is no name inside it"},
		"backslashes":       {packed(t, good, entry{`..\evil`, 0o644, "x"}), "which is no name inside it"},
		"a link":            {packed(t, good, entry{"link", fs.ModeSymlink | 0o777, "/etc"}), "neither a file nor a folder"},
		"a device":          {packed(t, good, entry{"device", fs.ModeDevice | 0o666, ""}), "neither a file nor a folder"},
		"twice":             {packed(t, good, entry{"./bootstrap", 0o755, "y"}), "twice"},
		"file and folder":   {packed(t, good, entry{"a", 0o644, "x"}, entry{"a/b", 0o644, "x"}), `"a" as a file and as a folder`},
		"a bomb":            {packed(t, good, entry{"0", 0o644, zeros}, entry{"1", 0o644, zeros}, entry{"2", 0o644, zeros}), "Unzipped size must be smaller than 262144000 bytes"},
		"too many":          {packed(t, many...), "more than 10000"},
		"corrupt":           {corrupt, "Could not unzip uploaded file"},
	} {
		conf := configuration{Runtime: "provided.al2023"}
		err := conf.carry(test.file, true)
		r, is := err.(*refusal)
		if !is || r.code != "InvalidParameterValueException" || !strings.Contains(r.Error(), test.says) || conf.file != nil {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
	conf := configuration{Runtime: "python3.13"}
	if err := conf.carry(packed(t, good), true); err == nil || !strings.Contains(err.Error(), "provided.al2023 only, not python3.13") {
		t.Error(err)
	}
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	file := packed(t, entry{"bootstrap", 0o755, "#!/bin/sh\n"}, entry{"etc/", fs.ModeDir | 0o755, ""}, entry{"etc/a/b", 0o4644, "text"})
	conf := configuration{Runtime: "provided.al2023"}
	if err := conf.carry(file, true); err != nil {
		t.Fatal(err)
	}
	if err := unpack(conf.file, dir); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "etc/a/b")); string(text) != "text" {
		t.Errorf("%s %v", text, err)
	}
	for name, want := range map[string]fs.FileMode{"bootstrap": 0o700, "etc/a/b": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
	// What runnable would have refused does not get out all the same.
	if err := unpack(packed(t, entry{"../evil", 0o644, "x"}), t.TempDir()); err == nil {
		t.Error("unpacked ../evil")
	}
}
