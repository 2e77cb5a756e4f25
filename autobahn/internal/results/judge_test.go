package results_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	_ "github.com/duplexkit/websocket/autobahn/internal/playflag"
	"github.com/duplexkit/websocket/autobahn/internal/results"
	"github.com/duplexkit/websocket/autobahn/internal/resultstest"
	"github.com/duplexkit/websocket/internal/conformance"
)

// run is a run with the best outcome of every case but some.
func run(role results.Role, agent string, changed map[string]results.Result) results.Run {
	r := results.Run{Role: role, Agent: agent, Results: map[string]results.Result{}}
	for id, c := range resultstest.Perfect(role == results.Client) {
		r.Results[id] = results.Result{Behavior: c.Behavior, BehaviorClose: c.BehaviorClose, Reason: c.Result, ReasonClose: c.ResultClose}
	}
	maps.Copy(r.Results, changed)
	return r
}

// without takes cases out.
func without(r results.Run, patterns ...string) results.Run {
	for id := range r.Results {
		for _, pattern := range patterns {
			if conformance.Match(pattern, id) {
				delete(r.Results, id)
			}
		}
	}
	return r
}

func TestTheSuiteHas517Cases(t *testing.T) {
	s, err := results.Judge([]results.Run{run(results.Server, "a", nil), run(results.Client, "b", nil)}, results.Demand{})
	require.NoError(t, err)
	require.Empty(t, s.Problems)
	require.Len(t, s.Columns, 2)
	for _, c := range s.Columns {
		want := map[int]int{1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1, 12: 90, 13: 126}
		var all results.Tally
		for section, tally := range c.Sections {
			require.Equal(t, want[section], tally.Demanded, "section %d", section)
			all.Demanded += tally.Demanded
			all.OK += tally.OK
			all.Told += tally.Told
		}
		require.Equal(t, results.Tally{Demanded: 517, OK: 514, Told: 3}, all)
	}
}

func TestJudge(t *testing.T) {
	const unimplemented = conformance.Unimplemented
	compression := map[string]results.Result{}
	for id := range resultstest.Perfect(false) {
		if conformance.Match("12.*", id) || conformance.Match("13.*", id) {
			compression[id] = results.Result{Behavior: unimplemented, BehaviorClose: conformance.OK}
		}
	}
	tests := []struct {
		name   string
		runs   []results.Run
		demand results.Demand
		want   []results.Problem
	}{
		{
			name: "all is well",
			runs: []results.Run{run(results.Server, "a", nil), run(results.Client, "a", nil)},
		},
		{
			name: "several agents, all well",
			runs: []results.Run{run(results.Server, "a", nil), run(results.Server, "b", nil), run(results.Client, "c", nil)},
		},
		{
			name: "failed",
			runs: []results.Run{
				run(results.Server, "a", map[string]results.Result{"1.1.1": {"FAILED", "OK", "no echo", ""}}),
				run(results.Client, "a", nil),
			},
			want: []results.Problem{{results.Server, "a", "1.1.1", "FAILED", "OK", "FAILED, not OK: no echo"}},
		},
		{
			name: "not strict, in the second of two agents",
			runs: []results.Run{
				run(results.Server, "a", nil), run(results.Server, "b", map[string]results.Result{"6.4.1": {"NON-STRICT", "OK", "late", ""}}),
				run(results.Client, "a", nil),
			},
			want: []results.Problem{{results.Server, "b", "6.4.1", "NON-STRICT", "OK", "NON-STRICT, not OK: late"}},
		},
		{
			name: "not implemented, outside of the pending sections",
			runs: []results.Run{
				run(results.Server, "a", nil),
				run(results.Client, "a", map[string]results.Result{"12.1.1": {unimplemented, "OK", "", ""}, "13.7.18": {unimplemented, "OK", "", ""}}),
			},
			demand: results.Demand{Pending: []int{12}},
			want:   []results.Problem{{results.Client, "a", "13.7.18", unimplemented, "OK", "UNIMPLEMENTED, not OK"}},
		},
		{
			name:   "compression is pending",
			runs:   []results.Run{run(results.Server, "a", compression), run(results.Client, "a", compression)},
			demand: results.Demand{Pending: []int{12, 13}},
		},
		{
			name: "pending tolerates nothing else",
			runs: []results.Run{
				run(results.Server, "a", map[string]results.Result{
					"12.1.1": {"FAILED", "OK", "wrong content", ""},
					"12.1.2": {unimplemented, "UNCLEAN", "", "no close frame"},
					"12.1.3": {"OK", unimplemented, "", ""},
				}),
				run(results.Client, "a", nil),
			},
			demand: results.Demand{Pending: []int{12, 13}},
			want: []results.Problem{
				{results.Server, "a", "12.1.1", "FAILED", "OK", "FAILED, not OK: wrong content"},
				{results.Server, "a", "12.1.2", unimplemented, "UNCLEAN", "UNIMPLEMENTED, not OK; close: UNCLEAN, not OK: no close frame"},
				{results.Server, "a", "12.1.3", "OK", unimplemented, "close: UNIMPLEMENTED, not OK"},
			},
		},
		{
			name: "each wrong way to close, in the order of the cases",
			runs: []results.Run{
				run(results.Server, "a", nil),
				run(results.Client, "a", map[string]results.Result{
					"2.10":  {"OK", "UNCLEAN", "", "dropped"},
					"2.9":   {"OK", "FAILED", "", "wrong end"},
					"3.1":   {"OK", "WRONG CODE", "", "was 1006"},
					"4.1.1": {"OK", "FAILED BY CLIENT", "", "kept"},
				}),
			},
			want: []results.Problem{
				{results.Client, "a", "2.9", "OK", "FAILED", "close: FAILED, not OK: wrong end"},
				{results.Client, "a", "2.10", "OK", "UNCLEAN", "close: UNCLEAN, not OK: dropped"},
				{results.Client, "a", "3.1", "OK", "WRONG CODE", "close: WRONG CODE, not OK: was 1006"},
				{results.Client, "a", "4.1.1", "OK", "FAILED BY CLIENT", "close: FAILED BY CLIENT, not OK: kept"},
			},
		},
		{
			name: "informational only where nothing else exists, and then in both",
			runs: []results.Run{
				run(results.Server, "a", map[string]results.Result{
					"1.1.1":  {"INFORMATIONAL", "INFORMATIONAL", "", ""},
					"7.1.6":  {"FAILED", "INFORMATIONAL", "", ""},
					"7.13.1": {"INFORMATIONAL", "FAILED", "", ""},
				}),
				run(results.Client, "a", nil),
			},
			want: []results.Problem{
				{results.Server, "a", "1.1.1", "INFORMATIONAL", "INFORMATIONAL", "INFORMATIONAL, not OK; close: INFORMATIONAL, not OK"},
				{results.Server, "a", "7.1.6", "FAILED", "INFORMATIONAL", "FAILED, not INFORMATIONAL"},
				{results.Server, "a", "7.13.1", "INFORMATIONAL", "FAILED", "close: FAILED, not INFORMATIONAL"},
			},
		},
		{
			name: "outcomes without a name, or with an unheard one",
			runs: []results.Run{
				run(results.Server, "a", map[string]results.Result{"1.1.1": {}, "1.1.2": {"ok", "OK", "", ""}}),
				run(results.Client, "a", nil),
			},
			want: []results.Problem{
				{results.Server, "a", "1.1.1", "", "", "nothing, not OK; close: nothing, not OK"},
				{results.Server, "a", "1.1.2", "ok", "OK", "ok, not OK"},
			},
		},
		{
			name: "missing cases",
			runs: []results.Run{without(run(results.Server, "a", nil), "9.8.6", "10.*"), run(results.Client, "a", nil)},
			want: []results.Problem{
				{results.Server, "a", "9.8.6", "", "", "missing from the reports"},
				{results.Server, "a", "10.1.1", "", "", "missing from the reports"},
			},
		},
		{
			name: "an unknown case",
			runs: []results.Run{run(results.Server, "a", map[string]results.Result{"8.1": {"OK", "OK", "", ""}}), run(results.Client, "a", nil)},
			want: []results.Problem{{results.Server, "a", "8.1", "OK", "OK", "no such case is known for this role"}},
		},
		{
			name: "a role is missing",
			runs: []results.Run{run(results.Server, "a", nil)},
			want: []results.Problem{{Role: results.Client, Reason: "no reports about a client"}},
		},
		{
			name:   "one role is enough if the other is not asked for",
			runs:   []results.Run{run(results.Server, "a", nil)},
			demand: results.Demand{Roles: []results.Role{results.Server}},
		},
		{
			name:   "the wrong role",
			runs:   []results.Run{run(results.Server, "a", nil)},
			demand: results.Demand{Roles: []results.Role{results.Client}},
			want: []results.Problem{
				{Role: results.Client, Reason: "no reports about a client"},
				{Role: results.Server, Agent: "a", Reason: "no reports about this role were expected"},
			},
		},
		{
			name: "some cases, asked for by pattern",
			runs: []results.Run{
				without(run(results.Server, "a", nil), "7.*", "9.*", "10.*", "12.*", "13.*"),
				without(run(results.Client, "a", nil), "2.11", "9.*"),
			},
			demand: results.Demand{Cases: []string{"1.*", "2.*"}},
			want:   []results.Problem{{results.Client, "a", "2.11", "", "", "missing from the reports"}},
		},
		{
			name: "some cases by every agent, all by one of them",
			runs: []results.Run{
				run(results.Server, "a", nil), without(run(results.Server, "b", nil), "9.*", "12.*", "13.*"),
				without(run(results.Client, "a", nil), "9.1.1"), without(run(results.Client, "b", nil), "1.1.1", "9.*"),
			},
			demand: results.Demand{Every: []string{"1.*"}},
			want: []results.Problem{
				{results.Client, "b", "1.1.1", "", "", "missing from the reports"},
				{results.Client, "", "9.1.1", "", "", "no agent played it"},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := results.Judge(test.runs, test.demand)
			require.NoError(t, err)
			require.Equal(t, test.want, s.Problems)
		})
	}
}

func TestJudgeRefusesPatternsWithoutCases(t *testing.T) {
	for _, demand := range []results.Demand{{Cases: []string{"8.*"}}, {Every: []string{"1.1.1", "x"}}} {
		_, err := results.Judge(nil, demand)
		require.ErrorContains(t, err, "no case is called")
	}
}
