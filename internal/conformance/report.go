package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// Report holds the results of a run, by agent and by id of the case.
type Report map[string]map[string]*Result

// indexEntry is one case in index.json.
type indexEntry struct {
	Behavior        Behavior `json:"behavior"`
	BehaviorClose   Behavior `json:"behaviorClose"`
	Duration        int64    `json:"duration"`
	RemoteCloseCode *int     `json:"remoteCloseCode"`
	ReportFile      string   `json:"reportfile"`
}

// Write writes index.json and a file for each case into the directory, which it makes.
func (r Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("conformance: %w", err)
	}
	index := map[string]map[string]indexEntry{}
	for agent, results := range r {
		index[agent] = map[string]indexEntry{}
		for id, result := range results {
			file := fileName(agent, id)
			if err := writeJSON(filepath.Join(dir, file), result); err != nil {
				return err
			}
			index[agent][id] = indexEntry{result.Behavior, result.BehaviorClose, result.Duration, result.RemoteCloseCode, file}
		}
	}
	return writeJSON(filepath.Join(dir, "index.json"), index)
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("conformance: %w", err)
	}
	return nil
}

// fileName is where the report of a case goes: my_server_case_6_4_1.json.
func fileName(agent, id string) string {
	clean := strings.Map(func(c rune) rune {
		if c < unicode.MaxASCII && (unicode.IsLetter(c) || unicode.IsDigit(c)) {
			return unicode.ToLower(c)
		}
		return '_'
	}, agent)
	return fmt.Sprintf("%s_case_%s.json", clean, strings.ReplaceAll(id, ".", "_"))
}
