package conformance

import (
	"testing"
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
