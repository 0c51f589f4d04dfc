package emulator

import "math"

// draw is the randomness of one request: a pure function of the seed, the request's number and what is being decided. So it
// needs no lock, a run can be repeated, and turning one fault on does not shift the choices behind another.
type draw struct{ seed, number uint64 }

type purpose uint64

const (
	forHost purpose = iota + 1
	forCanary
	forAlias
	forStray
	forFailure
	forLatency
	forID
	forTrace
	forRollout
	forLambdaID
)

// bits is splitmix64: one stream a purpose, at the request's number.
func (d draw) bits(p purpose) uint64 {
	return mix(mix(d.seed+uint64(p)*0xd1342543de82ef95) + d.number*0x9e3779b97f4a7c15)
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// share is uniform on [0, 1).
func (d draw) share(p purpose) float64 { return float64(d.bits(p)>>11) / (1 << 53) }

// normal is standard normal: the inverse of its distribution at a point that is never 0 or 1.
func (d draw) normal(p purpose) float64 {
	return math.Sqrt2 * math.Erfinv(2*(float64(d.bits(p)>>11)+0.5)/(1<<53)-1)
}
