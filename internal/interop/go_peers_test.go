//go:build unix

package interop

// Go.

var goPeers []row
