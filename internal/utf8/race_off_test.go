//go:build !race

package utf8

// raceEnabled tells tests that try a great many texts that the race detector,
// which makes them slow, is on.
const raceEnabled = false
