package results

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/duplexkit/websocket/internal/conformance"
)

// suite are the patterns of the 517 cases of the Autobahn testsuite.
var suite = []string{"1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*", "13.*"}

// Compression are the sections about compression. The suite's verdict on an endpoint that
// was started with -compression=false is UNIMPLEMENTED there.
var Compression = []int{12, 13, 21, 22}

// Demand says what must be there.
type Demand struct {
	Roles   []Role   // none is both
	Cases   []string // patterns of the cases that must have been played in each role, by one agent at least; none is the suite's
	Every   []string // patterns of the cases that every agent must have played; none is Cases
	Pending []int    // sections in which UNIMPLEMENTED will do, for an endpoint without compression
}

// Tally counts the cases of a section, or of several.
type Tally struct {
	Demanded int // cases that were played or had to be
	OK       int
	Told     int // INFORMATIONAL, where nothing else exists
	Pending  int // UNIMPLEMENTED, in a section that Demand.Pending names
}

func (t *Tally) add(o Tally) {
	t.Demanded += o.Demanded
	t.OK += o.OK
	t.Told += o.Told
	t.Pending += o.Pending
}

// wrong is how many cases went wrong or are missing.
func (t Tally) wrong() int { return t.Demanded - t.OK - t.Told - t.Pending }

// Column is how one run did, by section.
type Column struct {
	Role     Role
	Agent    string
	Sections map[int]Tally
}

func (c Column) total() (t Tally) {
	for _, section := range c.Sections {
		t.add(section)
	}
	return t
}

// Problem is a case that is not as it should be.
type Problem struct {
	Role          Role
	Agent         string // "" for a case that no agent played
	ID            string // "" for a role that is missing altogether
	Behavior      conformance.Behavior
	BehaviorClose conformance.Behavior // "" for both: the case is missing
	Reason        string
}

// Summary is what a Demand makes of runs.
type Summary struct {
	Columns  []Column
	Problems []Problem // in the order of roles, agents and cases
}

// Judge holds runs against a demand. It fails if the demand names what does not exist.
func Judge(runs []Run, d Demand) (Summary, error) {
	if len(d.Roles) == 0 {
		d.Roles = Roles
	}
	if len(d.Cases) == 0 {
		d.Cases = suite
	}
	if len(d.Every) == 0 {
		d.Every = d.Cases
	}
	var s Summary
	for _, role := range d.Roles {
		known, err := table(role)
		if err != nil {
			return s, err
		}
		cases, err := conformance.Cases(role.peer(), d.Cases...)
		if err != nil {
			return s, err
		}
		every, err := conformance.Cases(role.peer(), d.Every...)
		if err != nil {
			return s, err
		}
		played := map[string]bool{}
		for _, run := range runs {
			if run.Role == role {
				s.judge(run, every, known, d.Pending)
				for id := range run.Results {
					played[id] = true
				}
			}
		}
		if len(played) == 0 {
			s.Problems = append(s.Problems, Problem{Role: role, Reason: fmt.Sprintf("no reports about a %v", role)})
			continue
		}
		for _, c := range cases {
			if !played[c.ID] && !slices.ContainsFunc(every, func(e conformance.Case) bool { return e.ID == c.ID }) {
				s.Problems = append(s.Problems, Problem{Role: role, ID: c.ID, Reason: "no agent played it"})
			}
		}
	}
	for _, run := range runs {
		if !slices.Contains(d.Roles, run.Role) {
			s.Problems = append(s.Problems, Problem{Role: run.Role, Agent: run.Agent, Reason: "no reports about this role were expected"})
		}
	}
	return s, nil
}

// table is all cases of a role, by id.
func table(role Role) (map[string]conformance.Case, error) {
	cases, err := conformance.Cases(role.peer())
	byID := map[string]conformance.Case{}
	for _, c := range cases {
		byID[c.ID] = c
	}
	return byID, err
}

// judge adds a run.
func (s *Summary) judge(run Run, every []conformance.Case, known map[string]conformance.Case, pending []int) {
	column := Column{run.Role, run.Agent, map[int]Tally{}}
	ids := slices.Collect(maps.Keys(run.Results))
	for _, c := range every {
		if _, played := run.Results[c.ID]; !played {
			ids = append(ids, c.ID)
		}
	}
	slices.SortFunc(ids, compareIDs)
	for _, id := range ids {
		result, played := run.Results[id]
		tally, reason := Tally{}, ""
		switch c, ok := known[id]; {
		case !ok:
			reason = "no such case is known for this role"
		case !played:
			reason = "missing from the reports"
		default:
			tally, reason = weigh(c, result, slices.Contains(pending, c.Section()))
		}
		tally.Demanded = 1
		if tally.wrong() > 0 {
			s.Problems = append(s.Problems, Problem{run.Role, run.Agent, id, result.Behavior, result.BehaviorClose, reason})
		}
		tally.add(column.Sections[section(id)])
		column.Sections[section(id)] = tally
	}
	s.Columns = append(s.Columns, column)
}

// weigh counts a result, or says why it is not the best that the case has.
func weigh(c conformance.Case, r Result, pending bool) (t Tally, reason string) {
	best, bestClose := c.Allowed[0], conformance.OK
	if best == conformance.Informational {
		bestClose = conformance.Informational
	}
	switch {
	case r.Behavior == best && r.BehaviorClose == bestClose && best == conformance.Informational:
		return Tally{Told: 1}, ""
	case r.Behavior == best && r.BehaviorClose == bestClose:
		return Tally{OK: 1}, ""
	case pending && r.Behavior == conformance.Unimplemented && (r.BehaviorClose == conformance.OK || r.BehaviorClose == conformance.Unimplemented):
		return Tally{Pending: 1}, ""
	}
	var why []string
	if r.Behavior != best {
		why = append(why, because(r.Behavior, best, r.Reason))
	}
	if r.BehaviorClose != bestClose {
		why = append(why, "close: "+because(r.BehaviorClose, bestClose, r.ReasonClose))
	}
	return Tally{}, strings.Join(why, "; ")
}

func because(is, should conformance.Behavior, reason string) string {
	text := fmt.Sprintf("%s, not %s", cmp.Or(is, "nothing"), should)
	if reason != "" {
		text += ": " + reason
	}
	return text
}

// compareIDs orders ids by their numbers: 2.10 stands behind 2.9.
func compareIDs(a, b string) int {
	return slices.Compare(conformance.Numbers(a), conformance.Numbers(b))
}

func section(id string) int { return conformance.Numbers(id)[0] }
