//go:build !race

package deflate

// raceEnabled tells tests that count allocations that the race detector, under
// which pools forget some of what they are given, is on.
const raceEnabled = false
