package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	playRole() // The tests' program plays all roles too.
	os.Exit(m.Run())
}

// A few connections for a few seconds. What so few have grows by whatever they do, and
// how fast they are says nothing: drift and latency are not judged.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts its own program three times, which does not work under emulation; run without -short")
	}
	t.Parallel()
	var out strings.Builder
	v, err := run(t.Context(), &out, options{
		connections: 75, time: time.Second, interval: 300 * time.Millisecond, seed: 1, bounds: bounds{end: time.Minute},
	})
	require.NoError(t, err, "%s", &out)
	require.Empty(t, v.failures, "%s\n%s", &out, strings.Join(v.notes, "\n"))
	require.Empty(t, v.undecided)
	for _, want := range []string{"seed 1, 60 good connections", " warm-up ", " calm ", " attack "} {
		require.Contains(t, out.String(), want)
	}
	require.Contains(t, strings.Join(v.notes, "\n"), "60 of 60 good connections were told 1001")
}

// When it is interrupted it comes to its end as well.
func TestRunInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts its own program three times, which does not work under emulation; run without -short")
	}
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	v, err := run(ctx, &out, options{
		connections: 20, time: time.Hour, interval: time.Second, bounds: bounds{drift: 0.05, latency: 2, end: time.Minute},
	})
	require.NoError(t, err, "%s", &out)
	require.Empty(t, v.failures, "%s", &out)
}

func TestRunTooFew(t *testing.T) {
	t.Parallel()
	_, err := run(t.Context(), new(strings.Builder), options{connections: 19})
	require.ErrorContains(t, err, "19 connections are too few")
}

func TestFits(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2000, fits(2000, unlimited))
	require.Equal(t, 2000, fits(2000, 4096))
	require.Equal(t, 864, fits(2000, 1024))
	require.Less(t, fits(2000, 10), fewest)
}

func TestPhases(t *testing.T) {
	t.Parallel()
	for n := range 30 {
		list := phases(n)
		require.Equal(t, []phase{warmCalm, warmAttack, calm, attacked, calm}, list[:5])
		require.Equal(t, calm, list[len(list)-1])
		for i := 3; i < len(list); i++ {
			require.NotEqual(t, list[i-1], list[i])
		}
		if n >= 6 {
			require.InDelta(t, n-1, len(list), 1)
			require.Less(t, len(list), n)
		}
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	added := since(map[string]int{"a": 1, "b": 2}, map[string]int{"a": 1, "c": 4, "b": 3})
	require.Equal(t, "b: 1, c: 4", counts(added))
}

func TestPace(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := pace{rate: 1000}
	begin := time.Now()
	for range 100 {
		require.True(t, p.take(ctx, 1))
	}
	require.GreaterOrEqual(t, time.Since(begin), 100*time.Millisecond-slack)
	cancel()
	require.False(t, p.take(ctx, 1_000_000))
}

// What a client can find fault with, it does.
func TestTake(t *testing.T) {
	t.Parallel()
	send := func(kind byte, sender uint32, sequence uint64) func(*good) error {
		return func(g *good) error {
			return g.take(typeOf(sequence), message{kind: kind, sender: sender, sequence: sequence}.append(nil, []byte("body")))
		}
	}
	for _, test := range []struct {
		name  string
		takes []func(*good) error // all but the last are right
		fault string              // of the last
	}{
		{"lost", []func(*good) error{send(kindEcho, 7, 1), send(kindEcho, 7, 3)}, "message 3 came after 1"},
		{"twice", []func(*good) error{send(kindEcho, 7, 1), send(kindEcho, 7, 1)}, "message 1 came after 1"},
		{"first lost", []func(*good) error{send(kindEcho, 7, 2)}, "message 2 came after 0"},
		{"of another", []func(*good) error{send(kindEcho, 8, 1)}, "a message from connection 8 came to 7"},
		{"news lost", []func(*good) error{send(kindNews, 0, 12), send(kindNews, 0, 13), send(kindNews, 0, 15)}, "news 15 came after 13"},
		{"type", []func(*good) error{func(g *good) error {
			return g.take(typeOf(2), message{kind: kindEcho, sender: 7, sequence: 1}.append(nil, nil))
		}}, "message 1 has changed its type to 1"},
		{"damaged", []func(*good) error{func(g *good) error { return g.take(1, []byte("?")) }}, "a message of 1 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cs := new(clients)
			g := &good{clients: cs, sender: 7, answered: make(chan struct{}, 1)}
			for n, take := range test.takes {
				err := take(g)
				if n < len(test.takes)-1 {
					require.NoError(t, err)
					continue
				}
				require.ErrorIs(t, err, errBad)
			}
			require.Len(t, cs.faults.list(), 1)
			require.Contains(t, cs.faults.list()[0], test.fault)
		})
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	var f faults
	require.Empty(t, f.list())
	for n := range mostFaults + 7 {
		f.add("fault %d\n", n)
	}
	list := f.list()
	require.Len(t, list, mostFaults+1)
	require.Equal(t, "fault 0", list[0])
	require.Equal(t, "and 7 more", list[mostFaults])
}

// A server that loses good connections, or panics, is found out.
func TestServerFaults(t *testing.T) {
	t.Parallel()
	s := &server{ends: make(map[string]int)}
	for _, err := range []error{nil, errBad} {
		s.ended(whoGood, err)
		s.ended(whoBad, err)
	}
	fmt.Fprintln(&serverLog{s}, "http: panic serving 127.0.0.1:1: oh")
	fmt.Fprintln(&serverLog{s}, "http: superfluous response.WriteHeader call")
	require.Equal(t, map[string]int{"1000": 1, "other": 2}, s.ends)
	require.Equal(t, []string{
		"the server has lost a good connection: " + errBad.Error(),
		"the server: http: panic serving 127.0.0.1:1: oh",
	}, s.faults.list())
}

// An attacker whom nobody throws out says so.
func TestAttackerKept(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	h := &hostile{attackers: newAttackers(), ctx: ctx, rng: newRand(1, 1), addr: l.Addr().String()}
	kind := attack{raw: true, run: (*hostile).silence, outcomes: thrown}
	outcome := h.run(kind)
	require.Equal(t, outcomeKept, outcome)
	require.False(t, kind.expects(outcome))
}
