//go:build linux || darwin

package asmtest

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Guarded returns a page of memory, or several, between two that must not be
// touched: to read or write a byte before or behind it ends the program.
func Guarded(t testing.TB) []byte {
	size := max(syscall.Getpagesize(), 4<<10)
	all, err := syscall.Mmap(-1, 0, 3*size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(all)) })
	require.NoError(t, syscall.Mprotect(all[:size], syscall.PROT_NONE))
	require.NoError(t, syscall.Mprotect(all[2*size:], syscall.PROT_NONE))
	return all[size : 2*size : 2*size]
}
