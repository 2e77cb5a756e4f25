//go:build !linux && !darwin

package asmtest

import "testing"

// Guarded returns a page of memory. Where pages can be protected its
// neighbours are.
func Guarded(testing.TB) []byte { return make([]byte, 4<<10) }
