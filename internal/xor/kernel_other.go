//go:build purego || !(amd64 || arm64)

package xor

const haveKernel = false

func kernel(dst, src *byte, n int, word uint32) { panic("no kernel") }
