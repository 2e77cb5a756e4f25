// Package results reads the reports that the Autobahn testsuite, or this
// project's own fuzzing peer in its place, writes about a server or a client,
// and judges them: only the best outcome of a case will do.
//
// load.go takes in index.json and the files of the cases beside it, judge.go
// holds them against what is demanded, print.go tells people.
package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/duplexkit/websocket/internal/conformance"
)

// Role is which end of the connection was under test.
type Role int

// The zero Role is neither.
const (
	Server Role = iota + 1
	Client
)

// Roles are both roles.
var Roles = []Role{Server, Client}

func (r Role) String() string {
	switch r {
	case Server:
		return "server"
	case Client:
		return "client"
	}
	return fmt.Sprintf("Role(%d)", int(r))
}

// ParseRole is the opposite of String.
func ParseRole(s string) (Role, error) {
	for _, r := range Roles {
		if s == r.String() {
			return r, nil
		}
	}
	return 0, fmt.Errorf("no role %q: it is server or client", s)
}

// dir is the directory in which the suite puts the reports about the role.
func (r Role) dir() string { return r.String() + "s" }

// peer is the role that the suite plays against r.
func (r Role) peer() conformance.Role {
	if r == Server {
		return conformance.Client
	}
	return conformance.Server
}

// Run is how one endpoint did.
type Run struct {
	Role    Role
	Agent   string            // its name
	Results map[string]Result // by id of the case
}

// Result is how a case went. It went well only if both verdicts are good: an
// endpoint that answers nothing and never closes satisfies Behavior where
// nothing is expected back.
type Result struct {
	Behavior, BehaviorClose conformance.Behavior
	Reason, ReasonClose     string // why; "" without the file of the case
}

// details are what is needed of the file of a case.
type details struct {
	IsServer    *bool  `json:"isServer"` // whether the suite, not the endpoint, was the server
	Result      string `json:"result"`
	ResultClose string `json:"resultClose"`
}

// Load reads the runs that a path holds: an index.json, its directory, or a
// directory with such directories named servers and clients. They come sorted by
// role and agent.
func Load(path string) ([]Run, error) {
	var runs []Run
	indexes, err := find(path)
	for _, index := range indexes {
		var more []Run
		if more, err = loadIndex(index); err != nil {
			break
		}
		runs = append(runs, more...)
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(runs, func(a, b Run) int {
		if a.Role != b.Role {
			return int(a.Role - b.Role)
		}
		return strings.Compare(a.Agent, b.Agent)
	})
	return runs, nil
}

// find lists the files index.json that a path stands for.
func find(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var found []string
	for _, dir := range []string{"", Server.dir(), Client.dir()} {
		index := filepath.Join(path, dir, "index.json")
		if _, err := os.Stat(index); err == nil {
			found = append(found, index)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no index.json here, nor in servers or clients: the suite writes it at the end of a run only", path)
	}
	return found, nil
}

// loadIndex reads an index.json and the files that it names.
func loadIndex(index string) ([]Run, error) {
	var agents map[string]map[string]struct {
		Behavior      conformance.Behavior `json:"behavior"`
		BehaviorClose conformance.Behavior `json:"behaviorClose"`
		ReportFile    string               `json:"reportfile"`
	}
	if err := readJSON(index, &agents); err != nil {
		return nil, err
	}
	dir := filepath.Dir(index)
	var runs []Run
	for agent, cases := range agents {
		run := Run{Role: roleOf(dir), Agent: agent, Results: map[string]Result{}}
		for id, c := range cases {
			var d details
			err := readJSON(filepath.Join(dir, filepath.Base(c.ReportFile)), &d)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && c.ReportFile != "" {
				return nil, err
			}
			if d.IsServer != nil {
				role := Server
				if *d.IsServer {
					role = Client
				}
				if run.Role == 0 {
					run.Role = role
				}
				if run.Role != role {
					return nil, fmt.Errorf("%s: %s of %s was played with a %v under test, not a %v", index, id, agent, role, run.Role)
				}
			}
			run.Results[id] = Result{c.Behavior, c.BehaviorClose, d.Result, d.ResultClose}
		}
		if run.Role == 0 {
			return nil, fmt.Errorf("%s: neither its directory nor the files of the cases tell whether %s is a server or a client", index, agent)
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// roleOf tells the role by the directory, 0 if it has another name.
func roleOf(dir string) Role {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	for _, r := range Roles {
		if filepath.Base(dir) == r.dir() {
			return r
		}
	}
	return 0
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
