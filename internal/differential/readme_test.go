package differential

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table of differences in the README is of those that are judged.
func TestReadmeNamesTheDifferences(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, d := range differences {
		require.Contains(t, string(readme), "| `"+d.name()+"` |")
	}
}
