package conformance

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Role is which end of the connection the fuzzing peer is. The endpoint under test is the other one.
type Role int

const (
	Client Role = iota + 1 // the peer connects, a server is judged
	Server                 // the peer listens, a client is judged
)

// closer is who is to start the closing handshake of a case.
type closer int

const (
	anyone   closer = iota // the outcome is recorded, nothing is asked
	byPeer                 // the fuzzing peer: the endpoint has done nothing wrong so far and is asked to close
	byTested               // the endpoint under test, which fails the connection: with a close frame or without
)

// Case is one case of the table: what it is about and which outcomes are allowed.
type Case struct {
	ID          string     // "6.4.1"
	Description string     // what is sent, and after the last colon what is expected
	Allowed     []Behavior // allowed outcomes, the best first

	closes closer        // who starts the closing handshake
	clean  bool          // a closing handshake is required: dropping the TCP connection is not enough
	codes  []int         // close codes the endpoint may send; none at all is allowed too
	roles  []Role        // roles the peer can play it in
	limit  time.Duration // the suite's limit on the whole case, which the description tells; 0 is none
}

// stretch is how many times the suite's limit a case may take here, see "How the peer waits" in the package comment.
const stretch = 6

// within finds the suite's limit in a description.
var within = regexp.MustCompile(`within (\d+) s$`)

// time is how long the case may take: the suite's limit, stretched, or a minute where the suite has none.
func (c Case) time() time.Duration {
	if c.limit == 0 {
		return time.Minute
	}
	return stretch * c.limit
}

// expectation is what the description says of the outcome, "" if it refers to another case.
func (c Case) expectation() string {
	if i := strings.LastIndex(c.Description, ": "); i >= 0 {
		return c.Description[i+2:]
	}
	return ""
}

// Section is the first number of the id.
func (c Case) Section() int { return Numbers(c.ID)[0] }

//go:embed cases.tsv
var table string

// Cases lists the cases that the patterns select for the role, in the order of their ids. No pattern selects every case.
func Cases(role Role, patterns ...string) ([]Case, error) {
	return choose(role, patterns, nil)
}

func choose(role Role, include, exclude []string) ([]Case, error) {
	all, err := parseTable(table)
	if err != nil {
		return nil, err
	}
	var chosen []Case
	used := make([]bool, len(include))
	for _, c := range all {
		take := len(include) == 0
		for i, pattern := range include {
			if Match(pattern, c.ID) {
				take, used[i] = true, true
			}
		}
		for _, pattern := range exclude {
			take = take && !Match(pattern, c.ID)
		}
		if take && slices.Contains(c.roles, role) {
			chosen = append(chosen, c)
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		return nil, fmt.Errorf("conformance: no case is called %q", include[i])
	}
	return chosen, nil
}

// Match reports whether the id of a case fits the pattern. `*` stands for one number, at the end of the pattern for one or more.
func Match(pattern, id string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(id, ".")
	if len(want) > len(have) {
		return false
	}
	for i, w := range want {
		if w != "*" && w != have[i] {
			return false
		}
	}
	return len(want) == len(have) || want[len(want)-1] == "*"
}

func parseTable(text string) ([]Case, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")[1:]
	cases := make([]Case, 0, len(lines))
	for _, line := range lines {
		f := strings.Split(line, "\t")
		if len(f) != 6 {
			return nil, fmt.Errorf("conformance: %d fields in %q", len(f), line)
		}
		c := Case{ID: f[0], Description: f[1], clean: f[4] == "yes", roles: []Role{Client, Server}}
		for b := range strings.SplitSeq(f[2], ",") {
			c.Allowed = append(c.Allowed, Behavior(b))
		}
		if found := within.FindStringSubmatch(c.Description); found != nil {
			seconds, err := strconv.Atoi(found[1])
			if err != nil {
				return nil, fmt.Errorf("conformance: limit of %s: %w", c.ID, err)
			}
			c.limit = time.Duration(seconds) * time.Second
		}
		switch f[3] {
		case "us":
			c.closes = byPeer
		case "tested":
			c.closes = byTested
		}
		for code := range strings.FieldsFuncSeq(f[5], func(r rune) bool { return r == ',' }) {
			n, err := strconv.Atoi(code)
			if err != nil {
				return nil, fmt.Errorf("conformance: close code of %s: %w", c.ID, err)
			}
			c.codes = append(c.codes, n)
		}
		switch {
		case Match("21.1.*", c.ID):
			c.roles = []Role{Client}
		case Match("21.2.*", c.ID):
			c.roles = []Role{Server}
		}
		cases = append(cases, c)
	}
	slices.SortStableFunc(cases, func(a, b Case) int { return slices.Compare(Numbers(a.ID), Numbers(b.ID)) })
	return cases, nil
}

// Numbers is the id of a case as its numbers, 2 and 10 for "2.10". slices.Compare puts ids in their order by them, so that 2.10 stands
// behind 2.9, and the first is the section. There is at least one; a part that is no number is 0.
func Numbers(id string) []int {
	var n []int
	for part := range strings.SplitSeq(id, ".") {
		i, _ := strconv.Atoi(part)
		n = append(n, i)
	}
	return n
}
