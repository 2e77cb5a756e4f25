//go:build purego || !(amd64 || arm64)

package utf8

const haveKernel = false

func validKernel(p *byte, n int) bool { panic("no kernel") }

func unmaskKernel(p *byte, n int, word uint32) bool { panic("no kernel") }
