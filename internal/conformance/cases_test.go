package conformance

import (
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestTableHoldsTheSuite(t *testing.T) {
	t.Parallel()
	count := map[int]int{}
	for _, role := range []Role{Client, Server} {
		cases, err := Cases(role)
		require.NoError(t, err)
		clear(count)
		suite := 0
		for _, c := range cases {
			count[c.Section()]++
			if c.Section() < 20 {
				suite++
			}
		}
		require.Equal(t, 517, suite)
		for section, n := range map[int]int{1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1, 12: 90, 13: 126} {
			require.Equal(t, n, count[section], "section %d", section)
		}
	}
}

func TestEveryCaseHasAScript(t *testing.T) {
	t.Parallel()
	cases, err := parseTable(table)
	require.NoError(t, err)
	named := map[string]bool{}
	for _, c := range cases {
		require.False(t, named[c.ID], "%s stands in the table twice", c.ID)
		named[c.ID] = true
		require.NotNil(t, scripts[c.ID], "%s has no script", c.ID)
	}
	for id := range scripts {
		require.True(t, named[id], "%s has a script and no line in the table", id)
	}
}

func TestTextCasesAgreeWithUTF8(t *testing.T) {
	t.Parallel()
	cases, err := Cases(Client, "6.*")
	require.NoError(t, err)
	for _, c := range cases {
		p := script(c.ID, Config{})
		var message []byte
		for _, f := range p.frames {
			message = append(message, f.payload...)
		}
		if p.run == nil {
			require.Equal(t, c.closes == byPeer, utf8.Valid(message), c.ID)
		}
	}
}

func TestLimitsAreTheSuites(t *testing.T) {
	t.Parallel()
	cases, err := parseTable(table)
	require.NoError(t, err)
	limits := map[string]time.Duration{
		"9.1.1": 10, "9.1.2": 10, "9.1.3": 100, "9.2.1": 10, "9.2.2": 10, "9.2.3": 10, "9.2.4": 10, "9.2.5": 100, "9.3.1": 100,
		"9.4.9": 100, "9.5.1": 1000, "9.6.6": 1000, "9.7.3": 60, "9.7.6": 480, "9.8.4": 120, "12.1.1": 60, "13.7.18": 480,
		"1.1.1": 0, "10.1.1": 0,
	}
	for _, c := range cases {
		if seconds, listed := limits[c.ID]; listed {
			require.Equal(t, seconds*time.Second, c.limit, c.ID)
			delete(limits, c.ID)
		}
		if section := c.Section(); section == 9 || section == 12 || section == 13 {
			require.Equal(t, stretch*c.limit, c.time(), c.ID)
			require.Positive(t, c.limit, c.ID)
		}
	}
	require.Empty(t, limits)
	require.Equal(t, time.Minute, Case{}.time())
}

func TestNumbersPutIdsInOrder(t *testing.T) {
	t.Parallel()
	require.Equal(t, []int{12, 1, 10}, Numbers("12.1.10"))
	require.Equal(t, []int{0}, Numbers(""))
	require.Negative(t, slices.Compare(Numbers("2.9"), Numbers("2.10")))
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		pattern, id string
		want        bool
	}{
		{"*", "1.1.1", true},
		{"9.*", "9.1.1", true},
		{"1.*", "10.1.1", false},
		{"1.*", "12.1.1", false},
		{"12.*.1", "12.3.1", true},
		{"12.*.1", "12.3.10", false},
		{"2.1", "2.1", true},
		{"2.1", "2.10", false},
		{"6.4", "6.4.1", false},
		{"6.4.*", "6.4.1", true},
		{"6.4.1.*", "6.4.1", false},
	} {
		require.Equal(t, m.want, Match(m.pattern, m.id), "%s, %s", m.pattern, m.id)
	}
}

func TestCasesAreChosenByPattern(t *testing.T) {
	t.Parallel()
	cases, err := choose(Client, []string{"2.*", "1.1.2"}, []string{"2.*", "3.1"})
	require.NoError(t, err)
	require.Len(t, cases, 1)
	require.Equal(t, "1.1.2", cases[0].ID)

	cases, err = Cases(Client, "2.*")
	require.NoError(t, err)
	require.Equal(t, "2.11", cases[10].ID, "ids are in the order of their numbers")

	_, err = Cases(Client, "1.*", "8.*")
	require.EqualError(t, err, `conformance: no case is called "8.*"`)

	cases, err = Cases(Client, "21.2.*")
	require.NoError(t, err)
	require.Empty(t, cases, "21.2 judges clients")
}
