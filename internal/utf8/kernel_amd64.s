//go:build !purego

#include "textflag.h"

// The UTF-8 kernels with AVX2, after Keiser and Lemire, "Validating UTF-8 In
// Less Than One Instruction Per Byte" (2021). tables.go explains the method.
//
// SI walks through p, CX holds what n has left, R9 is where p ends.
//
//	Y0-Y3    the bytes at hand
//	Y4       the vector before them, of which only the last three bytes matter
//	Y5       what is wrong so far: not zero if anything is
//	Y6-Y8    the first three tables
//	Y9       0x0f in every byte
//	Y10      the key from where p begins, over and over
//	Y11      the last 32 bytes of p, unmasked
//	Y12-Y15  scratch
//
// There is no loop over single bytes. The loops leave 1 to 32 bytes undone, and
// the last 32 bytes of p are then looked at as a vector of their own, some of
// them for the second time. Where p is unmasked in place they have to be loaded
// before the first store (Y11), and so have the four bytes before them (R8):
// that is why n is at least 36. Both begin n modulo 4 places further into the key.
//
// 128 bytes of ASCII take a short way: there is nothing to look at but whether
// what went before is complete.

DATA low<>+0(SB)/8, $0x0f0f0f0f0f0f0f0f
DATA low<>+8(SB)/8, $0x0f0f0f0f0f0f0f0f
DATA low<>+16(SB)/8, $0x0f0f0f0f0f0f0f0f
DATA low<>+24(SB)/8, $0x0f0f0f0f0f0f0f0f
GLOBL low<>(SB), RODATA|NOPTR, $32

// Subtracted with saturation these leave the high bit of a byte that is 0xe0 or
// more, which begins 3 bytes at least, and of one that is 0xf0 or more.
DATA from3<>+0(SB)/8, $0x6060606060606060
DATA from3<>+8(SB)/8, $0x6060606060606060
DATA from3<>+16(SB)/8, $0x6060606060606060
DATA from3<>+24(SB)/8, $0x6060606060606060
GLOBL from3<>(SB), RODATA|NOPTR, $32
DATA from4<>+0(SB)/8, $0x7070707070707070
DATA from4<>+8(SB)/8, $0x7070707070707070
DATA from4<>+16(SB)/8, $0x7070707070707070
DATA from4<>+24(SB)/8, $0x7070707070707070
GLOBL from4<>(SB), RODATA|NOPTR, $32

DATA high<>+0(SB)/8, $0x8080808080808080
DATA high<>+8(SB)/8, $0x8080808080808080
DATA high<>+16(SB)/8, $0x8080808080808080
DATA high<>+24(SB)/8, $0x8080808080808080
GLOBL high<>(SB), RODATA|NOPTR, $32

// The largest bytes of a vector that ends complete: of its last three none may
// begin a 4-byte encoding, of the last two none a 3-byte one, and the last none
// at all.
DATA complete<>+0(SB)/8, $0xffffffffffffffff
DATA complete<>+8(SB)/8, $0xffffffffffffffff
DATA complete<>+16(SB)/8, $0xffffffffffffffff
DATA complete<>+24(SB)/8, $0xbfdfefffffffffff
GLOBL complete<>(SB), RODATA|NOPTR, $32

// LOOK looks at the vector cur, which follows the vector before. First at each
// byte (cur) with the one before it (Y13), by the tables. Then at those two and
// three places before: where they ask for a continuation byte, a second one in
// a row is right, and anything else is wrong.
#define LOOK(cur, before) \
	VPERM2I128 $0x21, cur, before, Y12; \
	VPALIGNR   $15, Y12, cur, Y13; \
	VPSRLW     $4, Y13, Y14; \
	VPAND      Y9, Y14, Y14; \
	VPSHUFB    Y14, Y6, Y14; \
	VPAND      Y9, Y13, Y13; \
	VPSHUFB    Y13, Y7, Y13; \
	VPAND      Y13, Y14, Y14; \
	VPSRLW     $4, cur, Y13; \
	VPAND      Y9, Y13, Y13; \
	VPSHUFB    Y13, Y8, Y13; \
	VPAND      Y13, Y14, Y14; \
	VPALIGNR   $14, Y12, cur, Y13; \
	VPSUBUSB   from3<>(SB), Y13, Y13; \
	VPALIGNR   $13, Y12, cur, Y15; \
	VPSUBUSB   from4<>(SB), Y15, Y15; \
	VPOR       Y13, Y15, Y13; \
	VPAND      high<>(SB), Y13, Y13; \
	VPXOR      Y14, Y13, Y13; \
	VPOR       Y13, Y5, Y5

// ENDED finds fault with a vector that does not end complete, where ASCII follows.
#define ENDED(before) \
	VPSUBUSB complete<>(SB), before, Y13; \
	VPOR     Y13, Y5, Y5

// SETUP loads the constants; nothing was seen yet.
#define SETUP \
	VBROADCASTI128 ·tables+0(SB), Y6; \
	VBROADCASTI128 ·tables+16(SB), Y7; \
	VBROADCASTI128 ·tables+32(SB), Y8; \
	VMOVDQU        low<>(SB), Y9; \
	VPXOR          Y4, Y4, Y4; \
	VPXOR          Y5, Y5, Y5

// func unmaskKernel(p *byte, n int, word uint32) bool
TEXT ·unmaskKernel(SB), NOSPLIT, $0-25
	MOVQ         p+0(FP), SI
	MOVQ         n+8(FP), CX
	LEAQ         (SI)(CX*1), R9
	MOVL         word+16(FP), AX
	VMOVD        AX, X10
	VPBROADCASTD X10, Y10
	SHLL         $3, CX               // RORL counts modulo 32 bits
	RORL         CX, AX
	MOVQ         n+8(FP), CX
	VMOVD        AX, X11
	VPBROADCASTD X11, Y11
	VPXOR        -32(R9), Y11, Y11
	MOVL         -36(R9), R8
	XORL         AX, R8
	SETUP
	CMPQ         CX, $128
	JBE          single

block:
	VPXOR     (SI), Y10, Y0
	VPXOR     32(SI), Y10, Y1
	VPXOR     64(SI), Y10, Y2
	VPXOR     96(SI), Y10, Y3
	VMOVDQU   Y0, (SI)
	VMOVDQU   Y1, 32(SI)
	VMOVDQU   Y2, 64(SI)
	VMOVDQU   Y3, 96(SI)
	VPOR      Y0, Y1, Y12
	VPOR      Y2, Y3, Y13
	VPOR      Y12, Y13, Y12
	VPMOVMSKB Y12, AX
	TESTL     AX, AX
	JNZ       blockLook
	ENDED(Y4)

blockDone:
	VMOVDQA Y3, Y4
	ADDQ    $128, SI
	SUBQ    $128, CX
	CMPQ    CX, $128
	JA      block

single:
	CMPQ      CX, $32
	JBE       last
	VPXOR     (SI), Y10, Y0
	VMOVDQU   Y0, (SI)
	ADDQ      $32, SI
	SUBQ      $32, CX
	VPMOVMSKB Y0, AX
	TESTL     AX, AX
	JNZ       singleLook
	ENDED(Y4)
	VMOVDQA   Y0, Y4
	JMP       single

last:
	VMOVDQU   Y11, -32(R9)
	VPMOVMSKB Y11, AX
	TESTL     AX, AX
	JNZ       lastLook
	ENDED(Y4)

done:
	VPTEST Y5, Y5
	SETEQ  ret+24(FP)
	VZEROUPPER
	RET

blockLook:
	LOOK(Y0, Y4)
	LOOK(Y1, Y0)
	LOOK(Y2, Y1)
	LOOK(Y3, Y2)
	JMP blockDone

singleLook:
	LOOK(Y0, Y4)
	VMOVDQA Y0, Y4
	JMP     single

lastLook:
	VMOVD        R8, X4
	VPBROADCASTD X4, Y4
	LOOK(Y11, Y4)
	JMP          done

// func validKernel(p *byte, n int) bool
//
// The same without the key, and nothing is stored.
TEXT ·validKernel(SB), NOSPLIT, $0-17
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	LEAQ (SI)(CX*1), R9
	SETUP
	CMPQ CX, $128
	JBE  single

block:
	VMOVDQU   (SI), Y0
	VMOVDQU   32(SI), Y1
	VMOVDQU   64(SI), Y2
	VMOVDQU   96(SI), Y3
	VPOR      Y0, Y1, Y12
	VPOR      Y2, Y3, Y13
	VPOR      Y12, Y13, Y12
	VPMOVMSKB Y12, AX
	TESTL     AX, AX
	JNZ       blockLook
	ENDED(Y4)

blockDone:
	VMOVDQA Y3, Y4
	ADDQ    $128, SI
	SUBQ    $128, CX
	CMPQ    CX, $128
	JA      block

single:
	CMPQ      CX, $32
	JBE       last
	VMOVDQU   (SI), Y0
	ADDQ      $32, SI
	SUBQ      $32, CX
	VPMOVMSKB Y0, AX
	TESTL     AX, AX
	JNZ       singleLook
	ENDED(Y4)
	VMOVDQA   Y0, Y4
	JMP       single

last:
	VMOVDQU   -32(R9), Y11
	VPMOVMSKB Y11, AX
	TESTL     AX, AX
	JNZ       lastLook
	ENDED(Y4)

done:
	VPTEST Y5, Y5
	SETEQ  ret+16(FP)
	VZEROUPPER
	RET

blockLook:
	LOOK(Y0, Y4)
	LOOK(Y1, Y0)
	LOOK(Y2, Y1)
	LOOK(Y3, Y2)
	JMP blockDone

singleLook:
	LOOK(Y0, Y4)
	VMOVDQA Y0, Y4
	JMP     single

lastLook:
	VPBROADCASTD -36(R9), Y4
	LOOK(Y11, Y4)
	JMP          done
