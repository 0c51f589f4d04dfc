package report

import (
	"strings"
	"unicode"
)

// visible is text as a terminal may be trusted with it: names of versions, and much that errors quote, come from
// whoever answered. An escape sequence must not move the cursor, nor a line break forge a line.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '?'
	}, s)
}

// columns is how wide text is at most: what may be wide counts as wide.
func columns(s string) (n int) {
	for _, r := range s {
		if n++; r >= 0x1100 {
			n++
		}
	}
	return n
}

// shorten keeps at most so many columns, "..." included.
func shorten(s string, most int) string {
	if columns(s) <= most {
		return s
	}
	kept := 0
	for i, r := range s {
		if kept += columns(string(r)); kept > most-3 {
			return s[:i] + "..."
		}
	}
	return s
}

// broken are the parts of a word that fit a line; of a word beyond all measure, its beginning.
func broken(word string, most int) (parts []string) {
	if columns(word) > 3*most {
		word = shorten(word, most)
	}
	for columns(word) > most {
		kept := 0
		for i, r := range word {
			if kept += columns(string(r)); kept > most {
				parts, word = append(parts, word[:i]), word[i:]
				break
			}
		}
	}
	return append(parts, word)
}

// fit shortens the widest cells until header and rows fit the page, with two blanks between columns.
func fit(header []string, rows [][]string) {
	for i := range rows {
		for j := range rows[i] {
			rows[i][j] = visible(rows[i][j])
		}
	}
	for {
		total, widest, at := 2*len(header), 0, 0
		for j, name := range header {
			w := columns(name)
			for _, row := range rows {
				w = max(w, columns(row[j]))
			}
			if total += w; w > widest {
				widest, at = w, j
			}
		}
		if total <= width || widest <= 8 {
			return
		}
		for _, row := range rows {
			row[at] = shorten(row[at], max(widest-(total-width), 8))
		}
	}
}

// name is a version's name in a line: "v2", or as it is spelt.
func name(version string) string {
	for _, r := range version {
		if r < '0' || r > '9' {
			return shorten(visible(version), 40)
		}
	}
	return "v" + shorten(version, 40)
}
