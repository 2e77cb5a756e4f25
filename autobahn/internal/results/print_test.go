package results_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/autobahn/internal/results"
)

// some is a summary of a few cases of two servers.
func some(t *testing.T) results.Summary {
	good := results.Result{Behavior: "OK", BehaviorClose: "OK"}
	s, err := results.Judge([]results.Run{
		{Role: results.Server, Agent: "a|b", Results: map[string]results.Result{
			"3.1": good, "3.2": {Behavior: "FAILED", BehaviorClose: "OK", Reason: "a < b\n| c"}, "7.1.6": {Behavior: "INFORMATIONAL", BehaviorClose: "INFORMATIONAL"},
		}},
		{Role: results.Server, Agent: "c", Results: map[string]results.Result{
			"3.1": good, "12.1.1": {Behavior: "UNIMPLEMENTED", BehaviorClose: "OK"},
		}},
	}, results.Demand{Cases: []string{"3.1"}, Pending: []int{12}})
	require.NoError(t, err)
	return s
}

func TestText(t *testing.T) {
	var b strings.Builder
	require.NoError(t, some(t).Text(&b))
	want := []string{
		"    section                          server a|b  server c",
		"3   reserved bits                    1/2         1/1",
		"7   close                            1/1         -",
		"12  compression, five kinds of data  -           0/1, 1 pending",
		"    all                              2/3         1/2, 1 pending",
		"",
		"server a|b: 3 cases, 1 OK, 1 INFORMATIONAL, 0 pending, 1 wrong or missing",
		"server c: 2 cases, 1 OK, 0 INFORMATIONAL, 1 pending, 0 wrong or missing",
		"server a|b  3.2  FAILED, not OK: a < b",
		"| c",
		"client  no reports about a client",
		"",
	}
	require.Equal(t, strings.Join(want, "\n"), b.String())
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	require.NoError(t, some(t).Markdown(&b))
	want := []string{
		`|  | section | server a\|b | server c |`,
		`|---|---|---|---|`,
		`| 3 | reserved bits | 1/2 | 1/1 |`,
		`| 7 | close | 1/1 | - |`,
		`| 12 | compression, five kinds of data | - | 0/1, 1 pending |`,
		`|  | all | 2/3 | 1/2, 1 pending |`,
		``,
		`- server a\|b: 3 cases, 1 OK, 1 INFORMATIONAL, 0 pending, 1 wrong or missing`,
		`- server c: 2 cases, 1 OK, 0 INFORMATIONAL, 1 pending, 0 wrong or missing`,
		``,
		`| case | endpoint | behavior | close | reason |`,
		`|---|---|---|---|---|`,
		`| 3.2 | server a\|b | FAILED | OK | FAILED, not OK: a &lt; b \| c |`,
		`|  | client |  |  | no reports about a client |`,
		``,
	}
	require.Equal(t, strings.Join(want, "\n"), b.String())
}
