//go:build !race

package faults

// raceEnabled tells the tests that the race detector is on, which makes them several
// times slower.
const raceEnabled = false
