//go:build !race

package integrity

const raced = false
