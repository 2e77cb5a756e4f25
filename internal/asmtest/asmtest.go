// Package asmtest helps to test assembler: memory whose borders cannot be
// crossed unnoticed, and rules that neither the assembler nor go vet knows.
package asmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// RequireCleanAVX holds all amd64 assembler in the directory of the test
// against the two rules for AVX2 code, whose breach costs more than a hundred
// nanoseconds a call and is seen in no result: where 256-bit registers are in
// use no instruction of the older encoding may touch a vector register (MOVQ to
// X0 instead of VMOVQ), and a function that has used them leaves with VZEROUPPER.
func RequireCleanAVX(t testing.TB) {
	t.Helper()
	files, err := filepath.Glob("*_amd64.s")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Empty(t, uncleanAVX(string(source)), file)
	}
}

var (
	vectorRegister = regexp.MustCompile(`\b[XY](1[0-5]|[0-9])\b`)
	wideRegister   = regexp.MustCompile(`\bY(1[0-5]|[0-9])\b`)
)

// uncleanAVX returns the lines of the source that break a rule.
func uncleanAVX(source string) (broken []string) {
	wide := false   // the function, or a macro before it, uses 256-bit registers
	before := ""    // the instruction before
	macros := false // of those seen so far one uses them
	for i, line := range strings.Split(source, "\n") {
		line, _, _ = strings.Cut(line, "//")
		macro := strings.HasPrefix(line, "#define") || strings.HasSuffix(line, `\`)
		for _, instruction := range strings.Split(strings.TrimSuffix(line, `\`), ";") {
			mnemonic, operands, _ := strings.Cut(strings.TrimSpace(instruction), " ")
			switch {
			case mnemonic == "" || strings.HasPrefix(mnemonic, "#"):
				continue
			case mnemonic == "TEXT":
				wide = macros
			case wideRegister.MatchString(operands):
				wide = true
				macros = macros || macro
			}
			bad := !strings.HasPrefix(mnemonic, "V") && mnemonic != "TEXT" && vectorRegister.MatchString(operands) &&
				!strings.Contains(mnemonic, "(") // a macro, which is looked at where it is defined
			if bad || wide && mnemonic == "RET" && before != "VZEROUPPER" {
				broken = append(broken, fmt.Sprintf("%d: %s", i+1, strings.TrimSpace(instruction)))
			}
			before = mnemonic
		}
	}
	return broken
}
