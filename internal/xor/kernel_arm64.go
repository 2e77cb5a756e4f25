//go:build !purego

package xor

const haveKernel = true // NEON belongs to the architecture

// kernel sets n bytes at dst to those at src, masked. n is at least 32. dst is
// src, or apart from it. word is the key, rotated to where src begins.
//
//go:noescape
func kernel(dst, src *byte, n int, word uint32)
