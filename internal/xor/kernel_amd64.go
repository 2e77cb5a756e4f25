//go:build !purego

package xor

import "golang.org/x/sys/cpu"

var haveKernel = cpu.X86.HasAVX2 // which includes that the operating system saves the registers

// kernel sets n bytes at dst to those at src, masked. n is at least 32. dst is
// src, or apart from it. word is the key, rotated to where src begins.
//
//go:noescape
func kernel(dst, src *byte, n int, word uint32)
