package sequential_test

import (
	"fmt"
	"math"

	"coalmine/analyze/sequential"
)

// A canary may fail at most 1 % of its requests. Looking as often as one likes, when is that proven, and when refuted?
func ExampleBound() {
	levels := sequential.Levels{Alpha: .05, Beta: .05, Budget: 100_000}
	errors, err := sequential.NewBound(.01, levels)
	if err != nil {
		fmt.Println(err)
		return
	}
	enough := math.Log(20) // 1/alpha, 1/beta
	for _, c := range []struct{ k, n uint64 }{{0, 299}, {2, 1000}, {30, 1000}} {
		fmt.Printf("%d of %d: pass %v, fail %v, at most %.2f %%\n",
			c.k, c.n, errors.Pass(c.k, c.n) >= enough, errors.Fail(c.k, c.n) >= enough, 100*errors.Upper(c.k, c.n))
	}
	// Output:
	// 0 of 299: pass false, fail false, at most 1.43 %
	// 2 of 1000: pass true, fail false, at most 0.84 %
	// 30 of 1000: pass false, fail true, at most 5.09 %
}
