package report

import (
	_ "embed"
	"io"
)

//go:embed schema.json
var schema []byte

// Schema writes the JSON Schema of JSON's reports.
func Schema(w io.Writer) error {
	_, err := w.Write(schema)
	return err
}
