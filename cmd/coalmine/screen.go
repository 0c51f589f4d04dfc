package main

import (
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"coalmine/report"
)

// screen keeps some lines at the bottom of a terminal up to date, above which all other lines scroll away. It leaves the
// terminal as it is in everything: there is no mode, no hidden cursor and no other screen that would have to be
// taken back, however the program ends.
type screen struct {
	to    *os.File
	paint func(report.Tone, string) string
	ascii bool
	drawn []int // columns of each line that is there; the cursor is below them
}

// newScreen is nil where nobody could follow it.
func newScreen(w world) *screen {
	file, ok := w.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || w.env("TERM") == "dumb" {
		return nil
	}
	s := &screen{to: file, ascii: !unicodeLocale(w.env)}
	if w.env("NO_COLOR") == "" {
		s.paint = colours
	}
	return s
}

func unicodeLocale(env func(string) string) bool {
	for _, key := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(env(key)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}

func colours(tone report.Tone, text string) string {
	switch tone {
	case report.Faint:
		return ansi.Style{}.Faint().Styled(text)
	case report.Strong:
		return ansi.Style{}.Bold().Styled(text)
	case report.Good:
		return ansi.Style{}.ForegroundColor(ansi.Green).Styled(text)
	case report.Bad:
		return ansi.Style{}.ForegroundColor(ansi.Red).Styled(text)
	}
	return text
}

// size is what a view may take: a column is left free, in which a terminal may break the line, and a line for the
// cursor.
func (s *screen) size() (columns, lines int) {
	columns, lines, err := term.GetSize(int(s.to.Fd()))
	if err != nil || columns < 2 || lines < 2 {
		return 79, 23
	}
	return columns - 1, lines - 1
}

// show writes lines that stay, and the view below them, over the one that is there: all at once, and no line is emptied
// before it is written, so that nothing flickers.
func (s *screen) show(stay, view []string) error {
	var b strings.Builder
	b.WriteString(ansi.SetModeSynchronizedOutput)
	b.WriteString("\r")
	if up := s.rows(); up > 0 {
		b.WriteString(ansi.CursorUp(up))
	}
	s.drawn = s.drawn[:0]
	for _, line := range stay {
		b.WriteString(ansi.EraseScreenBelow)
		b.WriteString(line + "\n")
	}
	for _, line := range view {
		b.WriteString(line + ansi.EraseLineRight + "\n")
		s.drawn = append(s.drawn, ansi.StringWidth(line))
	}
	b.WriteString(ansi.EraseScreenBelow + ansi.ResetModeSynchronizedOutput)
	_, err := io.WriteString(s.to, b.String())
	return err
}

// rows is how many rows the view takes now: a terminal that was made narrower has broken its lines.
func (s *screen) rows() (n int) {
	columns, lines := s.size()
	for _, width := range s.drawn {
		n += max((width+columns)/(columns+1), 1)
	}
	return min(n, lines)
}
