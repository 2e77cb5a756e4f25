//go:build race

package integrity

// raced says that the race detector is at work, which makes all of this take ten times as long.
const raced = true
