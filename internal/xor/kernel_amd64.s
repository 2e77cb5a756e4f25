//go:build !purego

#include "textflag.h"

// The masking kernel with AVX2.
//
// DI and SI walk through dst and src, CX holds what n has left. Y15 is the key
// from where src begins, over and over, and Y14 the key for vectors that end at
// the end: they begin n modulo 4 places further into it.
//
// There is no loop over single bytes. Up to 256 bytes are covered by equally
// many vectors from the beginning and from the end, which overlap in the middle;
// in place that works because all are loaded before the first is stored. Above,
// the first 32 and the last 128 bytes are loaded ahead (Y8, Y4 to Y7) and stored
// at the very end; a loop with aligned stores fills the space between. What it
// writes twice it writes alike.

// func kernel(dst, src *byte, n int, word uint32)
TEXT ·kernel(SB), NOSPLIT, $0-28
	MOVQ         dst+0(FP), DI
	MOVQ         src+8(FP), SI
	MOVQ         n+16(FP), CX
	MOVL         word+24(FP), AX
	VMOVD        AX, X15
	VPBROADCASTD X15, Y15
	SHLL         $3, CX            // RORL counts modulo 32 bits
	RORL         CX, AX
	MOVQ         n+16(FP), CX
	VMOVD        AX, X14
	VPBROADCASTD X14, Y14
	LEAQ         (SI)(CX*1), R8    // the ends
	LEAQ         (DI)(CX*1), R9
	CMPQ         CX, $64
	JA           over64
	VPXOR        (SI), Y15, Y0
	VPXOR        -32(R8), Y14, Y1
	VMOVDQU      Y0, (DI)
	VMOVDQU      Y1, -32(R9)
	VZEROUPPER
	RET

over64:
	CMPQ    CX, $128
	JA      over128
	VPXOR   (SI), Y15, Y0
	VPXOR   32(SI), Y15, Y1
	VPXOR   -64(R8), Y14, Y2
	VPXOR   -32(R8), Y14, Y3
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	VMOVDQU Y2, -64(R9)
	VMOVDQU Y3, -32(R9)
	VZEROUPPER
	RET

over128:
	VPXOR   -128(R8), Y14, Y4
	VPXOR   -96(R8), Y14, Y5
	VPXOR   -64(R8), Y14, Y6
	VPXOR   -32(R8), Y14, Y7
	VPXOR   (SI), Y15, Y8
	CMPQ    CX, $256
	JA      over256
	VPXOR   32(SI), Y15, Y1
	VPXOR   64(SI), Y15, Y2
	VPXOR   96(SI), Y15, Y3
	VMOVDQU Y8, (DI)
	VMOVDQU Y1, 32(DI)
	VMOVDQU Y2, 64(DI)
	VMOVDQU Y3, 96(DI)
	VMOVDQU Y4, -128(R9)
	VMOVDQU Y5, -96(R9)
	VMOVDQU Y6, -64(R9)
	VMOVDQU Y7, -32(R9)
	VZEROUPPER
	RET

over256:
	// To the next multiple of 32 in dst, and the key along with it: Y15.
	MOVQ         DI, R10
	MOVQ         DI, CX
	NEGQ         CX
	ANDQ         $31, CX
	ADDQ         CX, DI
	ADDQ         CX, SI
	MOVL         word+24(FP), AX
	SHLL         $3, CX
	RORL         CX, AX
	VMOVD        AX, X15
	VPBROADCASTD X15, Y15
	SUBQ         $128, R8

loop:
	VPXOR   (SI), Y15, Y0
	VPXOR   32(SI), Y15, Y1
	VPXOR   64(SI), Y15, Y2
	VPXOR   96(SI), Y15, Y3
	VMOVDQA Y0, (DI)
	VMOVDQA Y1, 32(DI)
	VMOVDQA Y2, 64(DI)
	VMOVDQA Y3, 96(DI)
	ADDQ    $128, SI
	ADDQ    $128, DI
	CMPQ    SI, R8
	JB      loop

	VMOVDQU Y8, (R10)
	VMOVDQU Y4, -128(R9)
	VMOVDQU Y5, -96(R9)
	VMOVDQU Y6, -64(R9)
	VMOVDQU Y7, -32(R9)
	VZEROUPPER
	RET
