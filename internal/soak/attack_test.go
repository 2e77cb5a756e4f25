package main

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each attack that is left to itself has an outcome that is right, several times over,
// for most draw lots for what they send.
func TestAttacks(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := newServer(l)
	as := newAttackers()
	const times = 5
	outcomes := make([][times]string, len(attacks))
	var running sync.WaitGroup // not parallel tests: there would be as many at once as processors, and most wait
	for n, kind := range attacks {
		for seed := range times {
			h := &hostile{attackers: as, ctx: t.Context(), rng: newRand(uint64(seed), 0), addr: l.Addr().String()}
			running.Go(func() { outcomes[n][seed] = h.run(kind) })
		}
	}
	running.Wait()
	s.shutdown()
	require.Empty(t, s.faults.list())
	require.Zero(t, s.open.Load())
	for n, kind := range attacks {
		for _, outcome := range outcomes[n] {
			require.True(t, kind.expects(outcome), "%s: %s", kind.name, outcome)
		}
	}
}
