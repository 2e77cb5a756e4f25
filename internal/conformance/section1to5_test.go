package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChoppedCasesAreChopped(t *testing.T) {
	t.Parallel()
	for id, pieces := range map[string]int{
		"1.1.8": 997, "1.2.8": 997, "2.6": octetWise, "2.11": octetWise, "3.3": frameWise, "3.4": octetWise,
		"4.1.4": atOnce, "4.1.5": octetWise, "4.2.4": atOnce, "4.2.5": octetWise, "5.5": octetWise, "5.8": octetWise, "5.11": octetWise,
	} {
		require.Equal(t, pieces, script(id, Config{}).pieces, id)
	}
}
