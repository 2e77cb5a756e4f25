//go:build !purego

package utf8

import "golang.org/x/sys/cpu"

var haveKernel = cpu.X86.HasAVX2 // which includes that the operating system saves the registers

// validKernel reports whether p, n bytes that begin with a character, have no
// fault: whether a text could go on from there, with the one exception that a
// last byte of 0xc0 or more is not looked at. n is at least 36.
//
//go:noescape
func validKernel(p *byte, n int) bool

// unmaskKernel is validKernel for p masked with word, the key rotated to where p
// begins. It unmasks p, all of it whatever is found.
//
//go:noescape
func unmaskKernel(p *byte, n int, word uint32) bool
