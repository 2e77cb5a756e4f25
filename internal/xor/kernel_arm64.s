//go:build !purego

#include "textflag.h"

// The masking kernel with NEON.
//
// R0 and R1 walk through dst and src, R2 holds what is left. V8 is the key from
// where src begins, over and over, and V9 the key for a vector that ends at the
// end: it begins n modulo 4 places further into it.
//
// There is no loop over single bytes: the last 16 bytes are loaded ahead, before
// anything is stored, for dst may be src (V10), and stored at the very end over
// what the loops have written of them, which was the same. So the loops may
// leave 1 to 16 bytes undone.

// func kernel(dst, src *byte, n int, word uint32)
TEXT ·kernel(SB), NOSPLIT, $0-28
	MOVD  dst+0(FP), R0
	MOVD  src+8(FP), R1
	MOVD  n+16(FP), R2
	MOVWU word+24(FP), R3
	VDUP  R3, V8.S4
	LSL   $3, R2, R4              // RORW counts modulo 32 bits
	RORW  R4, R3, R3
	VDUP  R3, V9.S4
	ADD   R2, R1, R5              // the last vector: where it is from,
	SUB   $16, R5
	ADD   R2, R0, R6              // and where it goes
	SUB   $16, R6
	VLD1  (R5), [V10.B16]
	VEOR  V9.B16, V10.B16, V10.B16
	CMP   $64, R2
	BLE   single

loop:
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	VEOR   V8.B16, V0.B16, V0.B16
	VEOR   V8.B16, V1.B16, V1.B16
	VEOR   V8.B16, V2.B16, V2.B16
	VEOR   V8.B16, V3.B16, V3.B16
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	SUB    $64, R2
	CMP    $64, R2
	BGT    loop

single:
	CMP    $16, R2
	BLE    last
	VLD1.P 16(R1), [V0.B16]
	VEOR   V8.B16, V0.B16, V0.B16
	VST1.P [V0.B16], 16(R0)
	SUB    $16, R2
	B      single

last:
	VST1 [V10.B16], (R6)
	RET
