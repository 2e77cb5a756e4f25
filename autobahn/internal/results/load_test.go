package results_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/autobahn/internal/results"
	"github.com/duplexkit/websocket/autobahn/internal/resultstest"
)

// agents are two agents with a case each.
func agents(isServer bool) map[string]map[string]resultstest.Case {
	c := resultstest.Case{Behavior: "NON-STRICT", BehaviorClose: "UNCLEAN", Result: "late", ResultClose: "dropped", IsServer: isServer}
	return map[string]map[string]resultstest.Case{"b": {"6.4.1": c}, "a": {"1.1.1": c}}
}

func loaded(role results.Role) []results.Run {
	r := results.Result{Behavior: "NON-STRICT", BehaviorClose: "UNCLEAN", Reason: "late", ReasonClose: "dropped"}
	return []results.Run{
		{Role: role, Agent: "a", Results: map[string]results.Result{"1.1.1": r}},
		{Role: role, Agent: "b", Results: map[string]results.Result{"6.4.1": r}},
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	servers, clients, mine := filepath.Join(dir, "servers"), filepath.Join(dir, "clients"), filepath.Join(dir, "mine")
	require.NoError(t, resultstest.Write(servers, agents(false)))
	require.NoError(t, resultstest.Write(clients, agents(true)))
	require.NoError(t, resultstest.Write(mine, agents(true)))
	for path, want := range map[string][]results.Run{
		dir:                                  append(loaded(results.Server), loaded(results.Client)...),
		servers:                              loaded(results.Server),
		filepath.Join(clients, "index.json"): loaded(results.Client),
		mine:                                 loaded(results.Client),
		filepath.Join(mine, "..", "servers"): loaded(results.Server),
	} {
		runs, err := results.Load(path)
		require.NoError(t, err)
		require.Equal(t, want, runs, path)
	}
}

func TestLoadWithoutTheFilesOfTheCases(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"servers", "mine"} {
		require.NoError(t, resultstest.Write(filepath.Join(dir, name), agents(false)))
		for _, file := range []string{"a_case_1_1_1.json", "b_case_6_4_1.json"} {
			require.NoError(t, os.Remove(filepath.Join(dir, name, file)))
		}
	}
	runs, err := results.Load(filepath.Join(dir, "servers"))
	require.NoError(t, err)
	require.Len(t, runs, 2)
	require.Equal(t, results.Result{Behavior: "NON-STRICT", BehaviorClose: "UNCLEAN"}, runs[0].Results["1.1.1"])

	_, err = results.Load(filepath.Join(dir, "mine"))
	require.ErrorContains(t, err, "whether")
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name, want string
		make       func(dir string) error
	}{
		{"a directory without reports", "no index.json", func(string) error { return nil }},
		{"an index cut short", "unexpected end", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"a": {`), 0o600)
		}},
		{"a case cut short", "a_case_1_1_1.json: unexpected end", func(dir string) error {
			if err := resultstest.Write(dir, agents(false)); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "a_case_1_1_1.json"), []byte(`{`), 0o600)
		}},
		{"a server among the clients", "with a server under test, not a client", func(dir string) error {
			return resultstest.Write(filepath.Join(dir, "clients"), agents(false))
		}},
		{"a client among the servers", "with a client under test, not a server", func(dir string) error {
			return resultstest.Write(filepath.Join(dir, "servers"), agents(true))
		}},
		{"both roles in one run", "under test, not a", func(dir string) error {
			mixed := agents(false)
			mixed["a"]["1.1.2"] = resultstest.Case{Result: "late", IsServer: true}
			return resultstest.Write(dir, mixed)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, test.make(dir))
			_, err := results.Load(dir)
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := results.Load(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRole(t *testing.T) {
	for _, role := range results.Roles {
		parsed, err := results.ParseRole(role.String())
		require.NoError(t, err)
		require.Equal(t, role, parsed)
	}
	_, err := results.ParseRole("servers")
	require.Error(t, err)
}
