package attack

import (
	"context"
	"math"
	"sync"
	"time"
)

const (
	warmPatience = time.Second           // what has not opened by then opens when it is needed
	warmFor      = 50 * time.Millisecond // so many connections as hits are due in
	mostWarm     = 64
)

// warm is how many connections to open before the first hit is due.
func (p Plan) warm() int {
	n := p.Warm
	switch {
	case n < 0 || p.viaNetHTTP() || p.Engine != "":
		return 0
	case n == 0 && p.closedLoop():
		n = p.connections()
	case n == 0:
		n = min(mostWarm, int(math.Ceil(p.pacer().Peak()*warmFor.Seconds())))
	}
	return int(min(uint64(n), uint64(p.connections()), p.Allowed()))
}

// warmUp makes connections, and opens them all at once as far as that succeeds. The hits will tell of what does not.
func (c *client) warmUp(ctx context.Context, n int) []*connection {
	all := make([]*connection, n)
	var opening sync.WaitGroup
	for i := range all {
		all[i] = c.connection()
		opening.Go(func() { all[i].warmUp(ctx) })
	}
	opening.Wait()
	return all
}

func (c *connection) warmUp(ctx context.Context) {
	if c.begun = c.now(); c.open(ctx, c.now()+min(warmPatience, c.timeout)) == nil {
		c.answered = c.now()
	}
}

// given is the nth warm connection, or another one beyond them.
func (c *client) given(warm []*connection, n int) *connection {
	if n < len(warm) {
		return warm[n]
	}
	return c.connection()
}

// count tells how long the warm connections took, and those to come.
func (c *client) count(warm []*connection, opened func(time.Duration)) {
	c.opened = opened
	for _, one := range warm {
		if one.conn != nil {
			opened(one.answered - one.begun)
		}
	}
}
