package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// intervalsOf are calm and attacked intervals in turn, as a run has them, whose figures
// the functions give by the number of the interval.
func intervalsOf(n int, change func(n int, i *interval)) []interval {
	intervals := make([]interval, n)
	for n := range intervals {
		f := figures{Goroutines: 800, Descriptors: 1600, Heap: 32 << 20}
		i := interval{attack: n%2 == 1, server: f, clients: f}
		for range 8 {
			i.p50, i.p99 = append(i.p50, 200*time.Microsecond), append(i.p99, 4*time.Millisecond)
		}
		change(n, &i)
		intervals[n] = i
	}
	return intervals
}

func TestJudge(t *testing.T) {
	t.Parallel()
	usual := bounds{drift: 0.05, latency: 2}
	slower := func(i *interval, factor time.Duration) {
		for s := range i.p99 {
			i.p50[s] *= factor
			i.p99[s] *= factor
		}
	}
	for _, test := range []struct {
		name      string
		n         int
		bounds    bounds
		change    func(n int, i *interval)
		failed    []string // what each of the failures begins with
		undecided []string
	}{
		{name: "steady", change: func(int, *interval) {}},
		{
			name:   "heap of the server grows",
			change: func(n int, i *interval) { i.server.Heap += n << 20 },
			failed: []string{"drift of the live heap of the server: +22.2 %"},
		},
		{
			name:   "heap of the clients grows slowly",
			n:      99,
			change: func(n int, i *interval) { i.clients.Heap += n << 15 },
			failed: []string{"drift of the live heap of the clients: +9.1 %"},
		},
		{name: "heap grows by less than it may", change: func(n int, i *interval) { i.server.Heap += n << 17 }},
		{name: "heap shrinks", change: func(n int, i *interval) { i.server.Heap -= n << 20 }},
		{
			name:   "heap of little is the runtime's",
			change: func(n int, i *interval) { i.server.Heap = 1<<20 + n<<14 },
		},
		{name: "drift is not judged", bounds: bounds{latency: 2}, change: func(n int, i *interval) { i.server.Heap += n << 20 }},
		{
			name: "heap and goroutines are more only under attack",
			change: func(n int, i *interval) {
				if i.attack {
					i.server.Heap *= 2
					i.server.Goroutines += 300 + n
				}
			},
		},
		{
			name: "one odd interval",
			change: func(n int, i *interval) {
				if n == 6 {
					i.server.Heap *= 2
				}
			},
		},
		{
			name: "goroutines and descriptors stay",
			change: func(n int, i *interval) {
				i.server.Goroutines += 10 * n
				i.clients.Descriptors += 20 * n
			},
			failed: []string{"drift of the goroutines of the server", "drift of the descriptors of the clients"},
		},
		{
			name: "slow under attack",
			change: func(n int, i *interval) {
				if i.attack {
					slower(i, 3)
				}
			},
			failed: []string{"latency, p50: 3.00 times", "latency, p99: 3.00 times"},
		},
		{
			name: "only the slow ones are slow under attack",
			change: func(n int, i *interval) {
				if i.attack {
					for s := range i.p99 {
						i.p99[s] *= 3
					}
				}
			},
			failed: []string{"latency, p99: 3.00 times"},
		},
		{
			name: "a little slow under attack",
			change: func(n int, i *interval) {
				if i.attack {
					slower(i, 2)
				}
			},
		},
		{
			name:   "latency is not judged",
			bounds: bounds{drift: 0.05},
			change: func(n int, i *interval) {
				if i.attack {
					slower(i, 9)
				}
			},
		},
		{
			name: "the machine stands still now and then",
			change: func(n int, i *interval) {
				for s := range i.p99 {
					if (s+n)%3 == 0 {
						i.p99[s] = time.Second
					}
				}
			},
		},
		{
			name: "the machine becomes slow in the course",
			change: func(n int, i *interval) {
				if n > 6 {
					slower(i, 9)
				}
			},
		},
		{
			name: "calm intervals are slow too, some of them",
			change: func(n int, i *interval) {
				if n%4 != 0 {
					slower(i, 3)
				}
				if n%4 == 0 {
					i.p50, i.p99 = append(i.p50, i.p50...), append(i.p99, i.p99...)
				}
			},
			undecided: []string{"latency, p50: 3.00 times", "latency, p99: 3.00 times"},
		},
		{name: "nothing was measured", n: 1, change: func(int, *interval) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.n == 0 {
				test.n = 9
			}
			if test.bounds == (bounds{}) {
				test.bounds = usual
			}
			v := judge(intervalsOf(test.n, test.change), test.bounds)
			begin := func(want, got []string) {
				require.Len(t, got, len(want), "%q", got)
				for n := range want {
					require.True(t, strings.HasPrefix(got[n], want[n]), got[n])
				}
			}
			begin(test.failed, v.failures)
			begin(test.undecided, v.undecided)
			require.NotEmpty(t, v.notes)
		})
	}
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	require.Equal(t, 3, growth([]int{1, 4}))
	require.Equal(t, 40, growth([]int{0, 10, 20, 30, 40}))
	require.Equal(t, 40, growth([]int{0, 10, 200, 30, 40}))
	require.Zero(t, growth([]int{5, 5, 5, 5, 50}))
	require.Equal(t, -4, growth([]int{4, 3, 2, 1, 0}))
	var many []int
	for n := range 12_345 {
		many = append(many, 3*n)
	}
	require.Equal(t, 3*12_344, growth(many))
}

func TestMedian(t *testing.T) {
	t.Parallel()
	require.Equal(t, 3, median([]int{3}))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	require.Equal(t, 2, median([]int{9, 2, 1}))
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		v      verdict
		err    error
		status int
		said   string
	}{
		{"good", verdict{notes: []string{"a note"}}, nil, 0, "a note\nok\n"},
		{"bad", verdict{failures: []string{"why"}, undecided: []string{"what"}}, nil, 1, "FAILED: why\nUNDECIDED: what\n"},
		{"error", verdict{}, errBad, 1, "FAILED: " + errBad.Error() + "\n"},
		{"undecided", verdict{undecided: []string{"what"}}, nil, 75, "UNDECIDED: what\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var said strings.Builder
			require.Equal(t, test.status, report(&said, test.v, test.err))
			require.Equal(t, test.said, said.String())
		})
	}
}
