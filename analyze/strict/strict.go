// Package strict reads YAML so that every mistake is found and located: an unknown key, a value of the wrong kind, a
// text that its type refuses. The YAML itself is parsed by go.yaml.in/yaml; what it lacks is a position for what a
// TextUnmarshaler refuses, and the nearest known key.
package strict

import (
	"bytes"
	"encoding"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Decode reads one YAML document into the struct that into points to. Fields that the document does not name keep
// their value, so defaults go in first. Errors read "FILE:LINE: ...",
// of what is no YAML "FILE: line LINE: ...", the first problem only.
func Decode(file string, data []byte, into any) error {
	var doc yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(data))
	if err := in.Decode(&doc); err == io.EOF {
		return nil // an empty document names nothing
	} else if err != nil {
		return located(file, err)
	}
	d := decoder{file}
	var second yaml.Node
	if err := in.Decode(&second); err == nil {
		return d.errorf(&second, "a second document: want one")
	} else if err != io.EOF {
		return located(file, err)
	}
	return d.value(doc.Content[0], reflect.ValueOf(into).Elem(), "")
}

// located says where, in the parser's words: "FILE: line 3: ...".
func located(file string, err error) error {
	return fmt.Errorf("%s: %s", file, strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "yaml: "))
}

type decoder struct{ file string }

func (d decoder) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", d.file, n.Line, fmt.Sprintf(format, args...))
}

func (d decoder) value(n *yaml.Node, v reflect.Value, path string) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(n, v.Elem(), path)
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode {
			return d.errorf(n, "%s: want one value, got a %s", path, kind(n))
		}
		if err := t.UnmarshalText([]byte(n.Value)); err != nil {
			return d.errorf(n, "%s: %s", path, err)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.fields(n, v, path)
	case reflect.Map:
		return d.entries(n, v, path)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return d.errorf(n, "%s: want a list, got a %s", path, kind(n))
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			if err := d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	}
	if n.Kind != yaml.ScalarNode {
		return d.errorf(n, "%s: want one value, got a %s", path, kind(n))
	}
	if v.Kind() == reflect.String {
		v.SetString(n.Value) // 1 is as good a version as "1"
		return nil
	}
	whole := v.CanInt() && v.Type() != reflect.TypeFor[time.Duration]() || v.CanUint()
	if err := n.Decode(v.Addr().Interface()); err != nil || whole && n.ShortTag() != "!!int" { // 1.5 would be decoded as 1
		return d.errorf(n, "%s: want %s, got %q", path, wanted(v), n.Value)
	}
	return nil
}

func (d decoder) fields(n *yaml.Node, v reflect.Value, path string) error {
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, "%s: want keys and values, got a %s", orDocument(path), kind(n))
	}
	known := map[string]reflect.Value{}
	collect(v, known)
	return d.pairs(n, path, func(key *yaml.Node, value *yaml.Node, at string) error {
		field, ok := known[key.Value]
		if !ok {
			return d.unknown(key, known)
		}
		return d.value(value, field, at)
	})
}

func (d decoder) entries(n *yaml.Node, v reflect.Value, path string) error {
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, "%s: want keys and values, got a %s", path, kind(n))
	}
	v.Set(reflect.MakeMap(v.Type()))
	return d.pairs(n, path, func(key *yaml.Node, value *yaml.Node, at string) error {
		k := reflect.New(v.Type().Key()).Elem()
		if err := d.value(key, k, at); err != nil {
			return err
		}
		if v.MapIndex(k).IsValid() {
			return d.errorf(key, "key %q stands twice, spelt in two ways", key.Value)
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(value, item, at); err != nil {
			return err
		}
		v.SetMapIndex(k, item)
		return nil
	})
}

func (d decoder) pairs(n *yaml.Node, path string, each func(key, value *yaml.Node, at string) error) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			return d.errorf(key, "key %q stands twice", key.Value)
		}
		seen[key.Value] = true
		if err := each(key, value, strings.TrimPrefix(path+"."+key.Value, ".")); err != nil {
			return err
		}
	}
	return nil
}

func (d decoder) unknown(key *yaml.Node, known map[string]reflect.Value) error {
	names := slices.Sorted(maps.Keys(known))
	best := Nearest(key.Value, names)
	if best == "" {
		return d.errorf(key, "unknown key %q (known here: %s)", key.Value, strings.Join(names, ", "))
	}
	return d.errorf(key, "unknown key %q (nearest known: %q)", key.Value, best)
}

// Nearest is the one of the names that was probably meant, the first of several; "" where none is near.
func Nearest(meant string, names []string) string {
	best, distance := "", len(meant)/2+2
	for _, name := range names {
		if n := edits(meant, name); n < distance {
			best, distance = name, n
		}
	}
	return best
}

func collect(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case option == "inline":
			collect(v.Field(i), into)
		case name != "":
			into[name] = v.Field(i)
		}
	}
}

// edits is how many letters to insert, drop, change or swap with the next make b of a.
func edits(a, b string) int {
	var above, row []int
	next := make([]int, len(b)+1)
	for j := range next {
		next[j] = j
	}
	for i := range len(a) {
		above, row, next = row, next, make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := row[j]
			if a[i] != b[j] {
				cost++
			}
			next[j+1] = min(cost, next[j]+1, row[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], above[j-1]+1)
			}
		}
	}
	return next[len(b)]
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "map"
	case yaml.SequenceNode:
		return "list"
	}
	return "single value"
}

func orDocument(path string) string {
	if path == "" {
		return "document"
	}
	return path
}

func wanted(v reflect.Value) string {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return `a duration like "500ms"`
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "a whole number"
	}
	return "a number"
}
