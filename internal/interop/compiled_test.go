//go:build unix

package interop

// C and C++.

var compiled []row
