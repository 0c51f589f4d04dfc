package analyze

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// sentence is Sprintf by another name: the checks speak through it.
func sentence(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// Count writes 8312 as "8,312".
func Count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Share writes a share as "50.0 %", with more digits where it is small.
func Share(share float64) string { return significant(share*100) + " %" }

func points(x float64) string { return significant(x) + " pp" }

// increase writes a ratio as "+7.9 %".
func increase(ratio float64) string {
	switch {
	case math.IsInf(ratio, 1):
		return "any amount"
	case ratio < 0:
		return "-" + significant(-ratio*100) + " %"
	}
	return "+" + significant(ratio*100) + " %"
}

func significant(x float64) string {
	digits := 1
	switch size := math.Abs(x); {
	case size == 0:
		return "0"
	case size < 0.1:
		digits = 3
	case size < 10:
		digits = 2
	}
	return strconv.FormatFloat(x, 'f', digits, 64)
}

// Short writes a duration with three digits that matter: "12.3ms".
func Short(d time.Duration) string {
	unit := time.Nanosecond
	for _, u := range []time.Duration{time.Hour, time.Minute} {
		if d >= u {
			return d.Round(time.Second).String()
		}
	}
	for _, u := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= u {
			unit = u
			break
		}
	}
	for size := unit * 100; size >= unit; size /= 10 {
		if d >= size {
			return d.Round(max(size/100, 1)).String()
		}
	}
	return d.String()
}

// capital begins a sentence with what may stand inside one.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Format writes a number in the check's unit.
func (c Check) Format(x float64) string {
	switch c.Unit {
	case UnitShare:
		return Share(x)
	case UnitPoints:
		return points(x)
	case UnitRatio:
		return increase(x)
	case UnitTime:
		if x >= math.MaxInt64 {
			return "any time"
		}
		return Short(time.Duration(x))
	}
	return Count(uint64(max(x, 0)))
}
