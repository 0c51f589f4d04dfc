package attack

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

const maxRate = 1e6 // per unit of time

// ParseRate reads "500", "500/s", "30/m" or "0.5/s".
func ParseRate(text string) (vegeta.Rate, error) {
	number, unit, _ := strings.Cut(text, "/")
	per, known := map[string]time.Duration{"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if unit == "" && strings.HasSuffix(text, "/") {
		known = false
	}
	x, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(x >= 1e-3 && x <= maxRate) {
		return vegeta.Rate{}, fmt.Errorf("want requests per time like 500, 500/s or 30/m, at least 0.001 and at most 1000000, got %q", text)
	}
	return rateOf(x, per), nil
}

// RateOf is a rate of so many hits per second, above 0.
func RateOf(perSecond float64) vegeta.Rate { return rateOf(perSecond, time.Second) }

// rateOf writes x hits per time as whole hits, to a thousandth.
func rateOf(x float64, per time.Duration) vegeta.Rate {
	for range 3 {
		if x == float64(int(x)) {
			break
		}
		x, per = x*10, per*10
	}
	return vegeta.Rate{Freq: max(int(x+0.5), 1), Per: per}
}

// PerSecond is the rate as a number.
func PerSecond(r vegeta.Rate) float64 {
	if r.Freq == 0 {
		return 0
	}
	return float64(r.Freq) / r.Per.Seconds()
}
