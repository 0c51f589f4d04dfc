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

// columns is how wide text is at most: what may be wide counts as wide, but for what a live view is drawn with.
func columns(s string) (n int) {
	for _, r := range s {
		if n++; r >= 0x1100 && !strings.ContainsRune("━│●█░", r) {
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

// fit breaks what stands in the widest columns over several lines until header and rows fit the page, with two blanks
// between columns.
func fit(header []string, rows [][]string) {
	widths := make([]int, len(header))
	total := 2 * len(header)
	for j, name := range header {
		widths[j] = columns(name)
		for i := range rows {
			rows[i][j] = visible(rows[i][j])
			widths[j] = max(widths[j], columns(rows[i][j]))
		}
		total += widths[j]
	}
	for total > width {
		widest := 0
		for j := range widths {
			if widths[j] > widths[widest] {
				widest = j
			}
		}
		if widths[widest] <= 8 {
			break
		}
		widths[widest]--
		total--
	}
	for _, row := range rows {
		for j := range row {
			row[j] = stacked(row[j], widths[j])
		}
	}
}

// stacked is text in lines of so many columns, broken at blanks where there are any; of text beyond all measure, its
// beginning.
func stacked(text string, most int) string {
	const lines = 8
	if columns(text) <= most {
		return text
	}
	var all []string
	line := ""
	for _, word := range strings.Fields(shorten(text, lines*most)) {
		for columns(word) > most {
			if columns(line) < most-1 && line != "" {
				line += " "
			} else if line != "" {
				all, line = append(all, line), ""
			}
			head := fill(word, most-columns(line))
			all, line, word = append(all, line+head), "", word[len(head):]
		}
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= most:
			line += " " + word
		default:
			all, line = append(all, line), word
		}
	}
	if line != "" {
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

// fill is as much of a word as has room, and at least a rune.
func fill(word string, room int) string {
	kept := 0
	for i, r := range word {
		if kept += columns(string(r)); kept > room && i > 0 {
			return word[:i]
		}
	}
	return word
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
