package playflag

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReportIsAbsolute(t *testing.T) {
	before := *Report
	t.Cleanup(func() { *Report = before })
	require.ErrorContains(t, flag.Set("conformance.report", "reports"), "not an absolute path")
	require.Equal(t, before, *Report)
	dir := filepath.Join(t.TempDir(), "reports")
	require.NoError(t, flag.Set("conformance.report", dir))
	require.Equal(t, dir, *Report)
}
