//go:build !purego

#include "textflag.h"

// The UTF-8 kernels with NEON, after Keiser and Lemire, "Validating UTF-8 In
// Less Than One Instruction Per Byte" (2021). tables.go explains the method.
//
// R0 walks through p, R2 holds what n has left, R5 is where the last vector of p
// begins.
//
//	V0-V3    the bytes at hand
//	V4       the vector before them, of which only the last three bytes matter
//	V5       what is wrong so far: not zero if anything is
//	V10      the key from where p begins, over and over
//	V11      the last 16 bytes of p, unmasked
//	V12-V15  scratch
//	V16-V20  the tables
//	V21      0x0f in every byte
//	V22      the largest bytes of a vector that ends complete
//
// There is no loop over single bytes. The loops leave 1 to 16 bytes undone, and
// the last 16 bytes of p are then looked at as a vector of their own, some of
// them for the second time. Where p is unmasked in place they have to be loaded
// before the first store (V11), and so have the four bytes before them (R8).
// Both begin n modulo 4 places further into the key.
//
// 64 bytes of ASCII take a short way: there is nothing to look at but whether
// what went before is complete.

// Of the last three bytes none may begin a 4-byte encoding, of the last two none
// a 3-byte one, and the last none at all.
DATA complete<>+0(SB)/8, $0xffffffffffffffff
DATA complete<>+8(SB)/8, $0xbfdfefffffffffff
GLOBL complete<>(SB), RODATA|NOPTR, $16

// LOOK looks at the vector cur, which follows the vector before. First at each
// byte (cur) with the one before it (V13), by the tables. Then at those two and
// three places before: where they ask for a continuation byte, a second one in
// a row is right, and anything else is wrong.
#define LOOK(cur, before) \
	VEXT  $15, cur.B16, before.B16, V13.B16; \
	VUSHR $4, V13.B16, V14.B16; \
	VTBL  V14.B16, [V16.B16], V14.B16; \
	VAND  V21.B16, V13.B16, V13.B16; \
	VTBL  V13.B16, [V17.B16], V13.B16; \
	VAND  V13.B16, V14.B16, V14.B16; \
	VUSHR $4, cur.B16, V13.B16; \
	VTBL  V13.B16, [V18.B16], V13.B16; \
	VAND  V13.B16, V14.B16, V14.B16; \
	VEXT  $14, cur.B16, before.B16, V13.B16; \
	VUSHR $4, V13.B16, V13.B16; \
	VTBL  V13.B16, [V19.B16], V13.B16; \
	VEXT  $13, cur.B16, before.B16, V15.B16; \
	VUSHR $4, V15.B16, V15.B16; \
	VTBL  V15.B16, [V20.B16], V15.B16; \
	VORR  V13.B16, V15.B16, V13.B16; \
	VEOR  V14.B16, V13.B16, V13.B16; \
	VORR  V13.B16, V5.B16, V5.B16

// ENDED finds fault with a vector that does not end complete, where ASCII follows.
#define ENDED(before) \
	VUMAX V22.B16, before.B16, V13.B16; \
	VEOR  V22.B16, V13.B16, V13.B16; \
	VORR  V13.B16, V5.B16, V5.B16

// ASCII sets the condition EQ if no byte has its high bit set.
#define ASCII(all) \
	VMOV all.D[0], R3; \
	VMOV all.D[1], R4; \
	ORR  R3, R4; \
	TST  $0x8080808080808080, R4

// SETUP loads the constants; nothing was seen yet.
#define SETUP \
	MOVD   $·tables(SB), R6; \
	VLD1.P 64(R6), [V16.B16, V17.B16, V18.B16, V19.B16]; \
	VLD1   (R6), [V20.B16]; \
	MOVD   $complete<>(SB), R6; \
	VLD1   (R6), [V22.B16]; \
	VMOVI  $15, V21.B16; \
	VEOR   V4.B16, V4.B16, V4.B16; \
	VEOR   V5.B16, V5.B16, V5.B16

// func unmaskKernel(p *byte, n int, word uint32) bool
TEXT ·unmaskKernel(SB), NOSPLIT, $0-25
	MOVD  p+0(FP), R0
	MOVD  n+8(FP), R2
	ADD   R0, R2, R5
	SUB   $16, R5           // the last vector,
	MOVWU -4(R5), R8        // and the bytes before it
	VLD1  (R5), [V11.B16]
	MOVWU word+16(FP), R3
	VDUP  R3, V10.S4
	LSL   $3, R2, R4        // RORW counts modulo 32 bits
	RORW  R4, R3, R3
	VDUP  R3, V12.S4
	VEOR  V12.B16, V11.B16, V11.B16
	EORW  R3, R8, R8
	SETUP
	CMP   $64, R2
	BLE   single

block:
	VLD1   (R0), [V0.B16, V1.B16, V2.B16, V3.B16]
	VEOR   V10.B16, V0.B16, V0.B16
	VEOR   V10.B16, V1.B16, V1.B16
	VEOR   V10.B16, V2.B16, V2.B16
	VEOR   V10.B16, V3.B16, V3.B16
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	VORR   V0.B16, V1.B16, V12.B16
	VORR   V2.B16, V3.B16, V13.B16
	VORR   V12.B16, V13.B16, V12.B16
	ASCII(V12)
	BNE    blockLook
	ENDED(V4)

blockDone:
	VMOV V3.B16, V4.B16
	SUB  $64, R2
	CMP  $64, R2
	BGT  block

single:
	CMP $16, R2
	BLE last
	VLD1   (R0), [V0.B16]
	VEOR   V10.B16, V0.B16, V0.B16
	VST1.P [V0.B16], 16(R0)
	SUB    $16, R2
	LOOK(V0, V4)
	VMOV   V0.B16, V4.B16
	B      single

last:
	VST1 [V11.B16], (R5)
	VMOV R8, V4.S[3]
	LOOK(V11, V4)
	VMOV V5.D[0], R3
	VMOV V5.D[1], R4
	ORR  R3, R4
	CMP  $0, R4
	CSET EQ, R3
	MOVB R3, ret+24(FP)
	RET

blockLook:
	LOOK(V0, V4)
	LOOK(V1, V0)
	LOOK(V2, V1)
	LOOK(V3, V2)
	B blockDone

// func validKernel(p *byte, n int) bool
//
// The same without the key, and nothing is stored.
TEXT ·validKernel(SB), NOSPLIT, $0-17
	MOVD  p+0(FP), R0
	MOVD  n+8(FP), R2
	ADD   R0, R2, R5
	SUB   $16, R5           // the last vector,
	MOVWU -4(R5), R8        // and the bytes before it
	VLD1  (R5), [V11.B16]
	SETUP
	CMP   $64, R2
	BLE   single

block:
	VLD1.P 64(R0), [V0.B16, V1.B16, V2.B16, V3.B16]
	VORR   V0.B16, V1.B16, V12.B16
	VORR   V2.B16, V3.B16, V13.B16
	VORR   V12.B16, V13.B16, V12.B16
	ASCII(V12)
	BNE    blockLook
	ENDED(V4)

blockDone:
	VMOV V3.B16, V4.B16
	SUB  $64, R2
	CMP  $64, R2
	BGT  block

single:
	CMP $16, R2
	BLE last
	VLD1.P 16(R0), [V0.B16]
	SUB    $16, R2
	LOOK(V0, V4)
	VMOV   V0.B16, V4.B16
	B      single

last:
	VMOV R8, V4.S[3]
	LOOK(V11, V4)
	VMOV V5.D[0], R3
	VMOV V5.D[1], R4
	ORR  R3, R4
	CMP  $0, R4
	CSET EQ, R3
	MOVB R3, ret+16(FP)
	RET

blockLook:
	LOOK(V0, V4)
	LOOK(V1, V0)
	LOOK(V2, V1)
	LOOK(V3, V2)
	B blockDone
