//go:build (amd64 || arm64) && !purego

package utf8

// The kernels look at each byte together with the one before it. What can be
// wrong with the two shows in three of their four nibbles: the high and the low
// one of the byte before, and the high one of the byte itself. Each table says
// of one nibble which faults it allows; a fault is there if all three allow it.
// What is left to check is that behind the beginning of a 3-byte or 4-byte
// encoding there is a second, and a third continuation byte, and nowhere else.
const (
	// The byte before begins an encoding, and this one does not continue it.
	tooShort = 1 << iota
	// The byte before is ASCII, and this one is a continuation byte.
	tooLong
	// e0 80 to e0 9f, which says with three bytes what two can say.
	overlong3
	// Above U+10FFFF: f4 90 and more, or f5 and more.
	tooLarge
	// ed a0 to ed bf, a surrogate half.
	surrogate
	// c0 and c1, which say with two bytes what one can say.
	overlong2
	// f0 80 to f0 8f, which says with four bytes what three can say; and f5 to ff
	// with 80 to 8f, which is too large. No two nibbles confuse them.
	overlong4
	// Two continuation bytes. It is the high bit, for this one is a fault only
	// where no encoding of 3 or 4 bytes began two or three bytes before.
	twoConts

	// The faults that do not depend on the low nibble of the byte before.
	anyLow = tooShort | tooLong | twoConts
)

//lint:ignore U1000 the assembler uses it
var tables = [5][16]byte{
	{ // high nibble of the byte before
		tooLong, tooLong, tooLong, tooLong, tooLong, tooLong, tooLong, tooLong,
		twoConts, twoConts, twoConts, twoConts,
		tooShort | overlong2,
		tooShort,
		tooShort | overlong3 | surrogate,
		tooShort | tooLarge | overlong4,
	},
	{ // low nibble of the byte before
		0x0: anyLow | overlong2 | overlong3 | overlong4,
		0x1: anyLow | overlong2,
		0x2: anyLow,
		0x3: anyLow,
		0x4: anyLow | tooLarge,
		0x5: anyLow | tooLarge | overlong4,
		0x6: anyLow | tooLarge | overlong4,
		0x7: anyLow | tooLarge | overlong4,
		0x8: anyLow | tooLarge | overlong4,
		0x9: anyLow | tooLarge | overlong4,
		0xa: anyLow | tooLarge | overlong4,
		0xb: anyLow | tooLarge | overlong4,
		0xc: anyLow | tooLarge | overlong4,
		0xd: anyLow | tooLarge | overlong4 | surrogate,
		0xe: anyLow | tooLarge | overlong4,
		0xf: anyLow | tooLarge | overlong4,
	},
	{ // high nibble of the byte itself
		tooShort, tooShort, tooShort, tooShort, tooShort, tooShort, tooShort, tooShort,
		tooLong | twoConts | overlong2 | overlong3 | overlong4,
		tooLong | twoConts | overlong2 | overlong3 | tooLarge,
		tooLong | twoConts | overlong2 | surrogate | tooLarge,
		tooLong | twoConts | overlong2 | surrogate | tooLarge,
		tooShort, tooShort, tooShort, tooShort,
	},
	// High nibble of the byte two before, and of the one three before: whether a
	// continuation byte has to be here. On amd64 a subtraction finds that out.
	{0xe: twoConts, 0xf: twoConts},
	{0xf: twoConts},
}
