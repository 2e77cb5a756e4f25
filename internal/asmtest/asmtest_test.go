package asmtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUncleanAVX(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, source string
		broken       []string
	}{
		{"clean", "TEXT ·f(SB), NOSPLIT, $0-8\n\tVMOVQ AX, X6 // MOVQ AX, X6\n\tVPXOR Y0, Y0, Y0\n\tVZEROUPPER\n\tRET\n", nil},
		{"older encoding", "TEXT ·f(SB), NOSPLIT, $0-8\n\tMOVQ AX, X6\n\tRET\n", []string{"2: MOVQ AX, X6"}},
		{"no VZEROUPPER", "TEXT ·f(SB), NOSPLIT, $0-8\n\tVPXOR Y0, Y0, Y0\n\tJZ end\n\tVZEROUPPER\n\tRET\nend:\n\tRET\n", []string{"7: RET"}},
		{"128 bits only", "TEXT ·f(SB), NOSPLIT, $0-8\n\tVPXOR X0, X0, X0\n\tRET\n", nil},
		{"in a macro", "#define M(a) \\\n\tVPXOR Y0, a, a; \\\n\tPXOR X1, X2\n\nTEXT ·f(SB), NOSPLIT, $0-8\n\tM(Y3)\n\tRET\n",
			[]string{"3: PXOR X1, X2", "7: RET"}},
	} {
		require.Equal(t, c.broken, uncleanAVX(c.source), c.name)
	}
}

func TestGuarded(t *testing.T) {
	t.Parallel()
	p := Guarded(t)
	require.GreaterOrEqual(t, len(p), 4<<10)
	clear(p)
}
