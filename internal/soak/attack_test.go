package main

import (
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each attack, left to itself, has an outcome that is right, several times over: most
// draw lots for what they send. None takes longer than the server's patience.
func TestAttacks(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := newServer(l)
	as := newAttackers()
	t.Run("kinds", func(t *testing.T) {
		for _, kind := range attacks {
			for seed := range uint64(5) {
				t.Run(kind.name, func(t *testing.T) {
					t.Parallel()
					h := &hostile{attackers: as, ctx: t.Context(), rng: rand.New(rand.NewPCG(seed, 0)), addr: l.Addr().String()}
					begin := time.Now()
					outcome := h.run(kind)
					t.Log(outcome, time.Since(begin))
					require.True(t, kind.expects(outcome), outcome)
				})
			}
		}
	})
	s.shutdown()
	require.Empty(t, s.faults.list())
}
