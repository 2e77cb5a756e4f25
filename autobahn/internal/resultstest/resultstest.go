// Package resultstest makes reports as the suite writes them, for tests.
package resultstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/duplexkit/websocket/internal/conformance"
)

// Case is what a report tells of a case. One that has nothing to say of its
// outcome gets no file of its own.
type Case struct {
	Behavior, BehaviorClose conformance.Behavior
	Result, ResultClose     string
	IsServer                bool // the suite was the server: a client was under test
}

// Perfect has the best outcome of each of the suite's 517 cases.
func Perfect(isServer bool) map[string]Case {
	role := conformance.Client
	if isServer {
		role = conformance.Server
	}
	cases, err := conformance.Cases(role, "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*", "13.*")
	if err != nil {
		panic(err)
	}
	perfect := map[string]Case{}
	for _, c := range cases {
		good := Case{Behavior: c.Allowed[0], BehaviorClose: conformance.OK}
		if good.Behavior == conformance.Informational {
			good.BehaviorClose = conformance.Informational
		}
		perfect[c.ID] = good
	}
	return perfect
}

// But is cases with some of them changed.
func But(cases, changed map[string]Case) map[string]Case {
	all := maps.Clone(cases)
	maps.Copy(all, changed)
	return all
}

// Write writes index.json and the files of the cases.
func Write(dir string, agents map[string]map[string]Case) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	index := map[string]any{}
	for agent, cases := range agents {
		entries := map[string]any{}
		for id, c := range cases {
			file := fmt.Sprintf("%s_case_%s.json", strings.ToLower(agent), strings.ReplaceAll(id, ".", "_"))
			entries[id] = map[string]any{
				"behavior": c.Behavior, "behaviorClose": c.BehaviorClose, "duration": 1, "remoteCloseCode": 1000, "reportfile": file,
			}
			if c.Result == "" && c.ResultClose == "" {
				continue
			}
			err := writeJSON(filepath.Join(dir, file), map[string]any{
				"id": id, "agent": agent, "isServer": c.IsServer, "result": c.Result, "resultClose": c.ResultClose,
			})
			if err != nil {
				return err
			}
		}
		index[agent] = entries
	}
	return writeJSON(filepath.Join(dir, "index.json"), index)
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
