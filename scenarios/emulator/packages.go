package emulator

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Lambda's limits for a package that is uploaded directly; the number of files is ours.
const (
	maxZipped   = 50 << 20
	maxUnzipped = 250 << 20
	maxFiles    = 10_000
)

const bootstrap = "bootstrap"

// runnable refuses a package that could not be run, or that should not be unpacked.
func runnable(file []byte, archive *zip.Reader) error {
	if len(file) > maxZipped {
		return invalidParameter("Uploaded file must be smaller than %d bytes", maxZipped)
	}
	if len(archive.File) > maxFiles {
		return invalidParameter("Uploaded file holds %d files, more than %d", len(archive.File), maxFiles)
	}
	files, folders := map[string]bool{}, map[string]bool{}
	left := int64(maxUnzipped)
	executable := false
	for _, f := range archive.File {
		name, err := member(f)
		if err != nil {
			return err
		}
		for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
			folders[folder] = true
		}
		if f.Mode().IsDir() {
			folders[name] = true
			continue
		}
		if files[name] {
			return invalidParameter("Uploaded file holds %q twice", f.Name)
		}
		files[name] = true
		// What is in it counts, not what it says is in it.
		n, err := inflate(io.Discard, f, left)
		if err != nil {
			return err
		}
		left -= n
		executable = executable || name == bootstrap && f.Mode().Perm()&0o111 != 0
	}
	for name := range files {
		if folders[name] {
			return invalidParameter("Uploaded file holds %q as a file and as a folder", name)
		}
	}
	switch {
	case !files[bootstrap]:
		return invalidParameter("Uploaded file has no %s at its root: that is what runtime provided.al2023 runs", bootstrap)
	case !executable:
		return invalidParameter("The %s in the uploaded file is not executable: give it mode 0755 before zipping", bootstrap)
	}
	return nil
}

// member is a file's or folder's name, cleaned; nothing but these two kinds, and none that leads out of the package.
func member(f *zip.File) (string, error) {
	name := path.Clean(f.Name)
	if strings.ContainsAny(f.Name, "\\\x00") || !filepath.IsLocal(name) || name == "." {
		return "", invalidParameter("Uploaded file holds %q, which is no name inside it", f.Name)
	}
	if mode := f.Mode(); !mode.IsRegular() && !mode.IsDir() {
		return "", invalidParameter("Uploaded file holds %q, which is neither a file nor a folder", f.Name)
	}
	return name, nil
}

func inflate(to io.Writer, f *zip.File, left int64) (int64, error) {
	r, err := f.Open()
	if err != nil {
		return 0, unreadable
	}
	defer r.Close()
	n, err := io.Copy(to, io.LimitReader(r, left+1))
	switch {
	case n > left:
		return n, invalidParameter("Unzipped size must be smaller than %d bytes", maxUnzipped)
	case err != nil:
		return n, unreadable
	}
	return n, nil
}

var unreadable = invalidParameter("Could not unzip uploaded file. Please check your file, then try to upload again.")

// unpack writes a package that runnable let pass.
func unpack(file []byte, dir string) error {
	archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range archive.File {
		name, err := member(f)
		if err != nil {
			return err
		}
		if f.Mode().IsDir() {
			err = root.MkdirAll(name, 0o700)
		} else {
			err = unpackFile(root, name, f)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", f.Name, err)
		}
	}
	return nil
}

func unpackFile(root *os.Root, name string, f *zip.File) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	// A process forked meanwhile would hold the file open for writing until it has become another program, and nobody may
	// run a file that is being written.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode().Perm()&0o700|0o400)
	if err != nil {
		return err
	}
	_, err = inflate(out, f, maxUnzipped)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}
