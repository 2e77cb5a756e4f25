package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/cover"
)

func TestCheck(t *testing.T) {
	// frame.go: 3 of 3 statements, the first in the second of two runs; read.go: 19 of 20.
	const profile = `mode: set
example.org/p/frame.go:1.1,2.1 1 0
example.org/p/frame.go:1.1,2.1 1 1
example.org/p/frame.go:3.1,4.1 2 1
example.org/p/read.go:1.1,9.1 19 1
example.org/p/read.go:11.1,12.1 1 0
example.org/p/internal/x/x.go:1.1,2.1 5 0
`
	for _, tc := range []struct {
		name, full string
		above      float64
		total      float64
		good       bool
		want       string
	}{
		{"all as it must be", "frame.go", 90, 95, true, "frame.go                3 of    3 statements  100.0 %\nread.go                19 of   20 statements   95.0 %\nall files              22 of   23 statements   95.7 %\n"},
		{"a gap where none may be", "frame.go,read.go", 90, 0, false, "95.0 %  must be 100 %, missing: 11-12\n"},
		{"exactly the limit is too little", "frame.go", 95, 0, false, "must be above 95 %, missing: 11-12\n"},
		{"a file that is not there", "frame.go,close.go", 90, 0, false, "close.go             not in the profile\n"},
		{"too little of all", "frame.go", 90, 96, false, "95.7 %  must be 96 % at least\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "profile")
			require.NoError(t, os.WriteFile(file, []byte(profile), 0o600))
			profiles, err := cover.ParseProfiles(file)
			require.NoError(t, err)
			var out strings.Builder
			require.Equal(t, tc.good, check(&out, "example.org/p", profiles, strings.Split(tc.full, ","), tc.above, tc.total))
			require.Contains(t, out.String(), tc.want)
			require.NotContains(t, out.String(), "x.go")
		})
	}
}
