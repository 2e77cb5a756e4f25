package results

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// titles says what the sections are about. 8 and 11 have no cases; those from 20 on are this project's own.
var titles = map[int]string{
	1:  "framing, text and binary",
	2:  "ping and pong",
	3:  "reserved bits",
	4:  "reserved opcodes",
	5:  "fragmentation",
	6:  "UTF-8",
	7:  "close",
	9:  "limits and speed",
	10: "automatic fragmentation",
	12: "compression, five kinds of data",
	13: "compression, seven sets of parameters",
	20: "own: framing beyond the suite",
	21: "own: compression, negotiation",
	22: "own: compression, messages",
}

// sections are the rows of the table.
func (s Summary) sections() []int {
	used := map[int]bool{}
	for _, c := range s.Columns {
		for section := range c.Sections {
			used[section] = true
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// rows is the table: a headline, a row for each section, and the total.
func (s Summary) rows() [][]string {
	head := []string{"", "section"}
	total := []string{"", "all"}
	for _, c := range s.Columns {
		head = append(head, fmt.Sprintf("%v %s", c.Role, c.Agent))
		total = append(total, c.total().cell())
	}
	rows := [][]string{head}
	for _, section := range s.sections() {
		row := []string{fmt.Sprint(section), titles[section]}
		for _, c := range s.Columns {
			row = append(row, c.Sections[section].cell())
		}
		rows = append(rows, row)
	}
	return append(rows, total)
}

// cell tells how many of the cases went well: 16/16.
func (t Tally) cell() string {
	if t.Demanded == 0 {
		return "-"
	}
	text := fmt.Sprintf("%d/%d", t.OK+t.Told, t.Demanded)
	if t.Pending > 0 {
		text += fmt.Sprintf(", %d pending", t.Pending)
	}
	return text
}

// verdicts says in a line what became of the cases of each run.
func (s Summary) verdicts() (lines []string) {
	for _, c := range s.Columns {
		t := c.total()
		lines = append(lines, fmt.Sprintf("%v %s: %d cases, %d OK, %d INFORMATIONAL, %d pending, %d wrong or missing",
			c.Role, c.Agent, t.Demanded, t.OK, t.Told, t.Pending, t.wrong()))
	}
	return lines
}

// who names the subject of a problem.
func (p Problem) who() string {
	return strings.TrimRight(fmt.Sprintf("%v %s", p.Role, p.Agent), " ")
}

// Text writes the table and the problems for people at a terminal.
func (s Summary) Text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range s.rows() {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintln(&b)
	for _, line := range s.verdicts() {
		fmt.Fprintln(&b, line)
	}
	for _, p := range s.Problems {
		fmt.Fprintln(&b, strings.Join(slices.DeleteFunc([]string{p.who(), p.ID, p.Reason}, func(s string) bool { return s == "" }), "  "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes the same as Markdown.
func (s Summary) Markdown(w io.Writer) error {
	var b strings.Builder
	for i, row := range s.rows() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(escaped(row), " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
	fmt.Fprintln(&b)
	for _, line := range escaped(s.verdicts()) {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	if len(s.Problems) > 0 {
		fmt.Fprint(&b, "\n| case | endpoint | behavior | close | reason |\n|---|---|---|---|---|\n")
	}
	for _, p := range s.Problems {
		row := []string{p.ID, p.who(), string(p.Behavior), string(p.BehaviorClose), p.Reason}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(escaped(row), " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// escaped keeps the cells of a Markdown table apart.
func escaped(cells []string) []string {
	for i, cell := range cells {
		cells[i] = strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(cell)
	}
	return cells
}
