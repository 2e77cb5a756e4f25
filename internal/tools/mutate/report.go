package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// reasons are why survivors are accepted, by their keys.
type reasons map[string]string

// readReasons reads the keys of mutants, one a line, and below each group of them the
// reason, indented. Lines that begin with # are remarks.
func readReasons(r io.Reader) (reasons, error) {
	all := make(reasons)
	var keys []string
	reason := ""
	finish := func() error {
		for _, key := range keys {
			if reason == "" {
				return fmt.Errorf("no reason for %s", key)
			}
			if _, twice := all[key]; twice {
				return fmt.Errorf("two reasons for %s", key)
			}
			all[key] = reason
		}
		keys, reason = nil, ""
		return nil
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "" || strings.HasPrefix(line, "#"):
		case line != strings.TrimLeft(line, " \t"):
			reason = strings.TrimSpace(reason + " " + trimmed)
		default:
			if reason != "" {
				if err := finish(); err != nil {
					return nil, err
				}
			}
			keys = append(keys, trimmed)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return all, finish()
}

// keepFile drops what is about other files.
func (r reasons) keepFile(name string) {
	maps.DeleteFunc(r, func(key, _ string) bool { return !strings.HasPrefix(key, name+" ") })
}

// score counts the mutants of a file.
type score struct{ mutants, survivors, own, all, time int }

func (s score) percent() float64 {
	if s.mutants == 0 {
		return 100
	}
	return 100 * float64(s.mutants-s.survivors) / float64(s.mutants)
}

// makeReport returns the report, and whether each file has what it must.
func makeReport(targets []target, results []result, why reasons, least float64) (text string, good bool) {
	scores := make(map[string]*score)
	for _, r := range results {
		s := scores[r.mutant.file]
		if s == nil {
			s = new(score)
			scores[r.mutant.file] = s
		}
		s.mutants++
		*[...]*int{&s.survivors, &s.own, &s.all, &s.time}[r.fate]++
	}

	var b strings.Builder
	fmt.Fprintf(&b, "# Mutants\n\nWritten by `go -C internal/tools run ./mutate`; the reasons come from accepted.txt. At least %v %% of a file's mutants have to\nbe killed, that is, fail a test or never end. Mutants that do not compile do not count. Tests that are not run match\n`%s`.\n\n", least, skipped)
	b.WriteString("| file | mutants | killed by its own tests | by the package's other tests | by never ending | survivors | killed |\n|---|---:|---:|---:|---:|---:|---:|\n")
	good = true
	var sum score
	row := func(name string, s score) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %.1f %% |\n", name, s.mutants, s.own, s.all, s.time, s.survivors, s.percent())
	}
	for _, t := range targets {
		s := scores[t.file]
		if s == nil {
			s = new(score)
		}
		good = good && s.percent() >= least && s.mutants > 0
		row(t.file, *s)
		sum.mutants += s.mutants
		sum.survivors += s.survivors
		sum.own += s.own
		sum.all += s.all
		sum.time += s.time
	}
	if len(targets) > 1 {
		row("all", sum)
	}
	for _, t := range targets {
		if len(t.leftOut) > 0 {
			fmt.Fprintf(&b, "\nLeft out of %s: %s.\n", t.file, strings.Join(t.leftOut, ", "))
		}
	}
	survivors(&b, results, why)
	return b.String(), good
}

// survivors lists those that no test notices, those with the same reason together, and
// reasons whose mutants are no survivors any more.
func survivors(w io.Writer, results []result, why reasons) {
	byReason := make(map[string][]*mutant)
	var order []string
	unused := maps.Clone(why)
	for _, r := range results {
		if r.fate != survived {
			continue
		}
		reason := why[r.mutant.key()]
		delete(unused, r.mutant.key())
		if byReason[reason] == nil {
			order = append(order, reason)
		}
		byReason[reason] = append(byReason[reason], r.mutant)
	}
	fmt.Fprint(w, "\n## Survivors\n")
	if len(order) == 0 {
		fmt.Fprint(w, "\nNone.\n")
	}
	// Those without a reason come first: they are what there is to do.
	if i := slices.Index(order, ""); i > 0 {
		order = append([]string{""}, slices.Delete(order, i, i+1)...)
	}
	for _, reason := range order {
		if reason == "" {
			fmt.Fprint(w, "\n**No reason is known.**\n\n")
		} else {
			fmt.Fprintf(w, "\n%s\n\n", reason)
		}
		for _, m := range byReason[reason] {
			fmt.Fprintf(w, "- %s:%d, %s: %s becomes %s\n", m.file, m.line, m.place, quoted(m.old), quoted(m.new))
			if reason == "" {
				fmt.Fprintf(w, "  - %s\n", m.key())
			}
		}
	}
	if len(unused) > 0 {
		fmt.Fprint(w, "\n## Reasons without a survivor\n\n")
		for _, key := range slices.Sorted(maps.Keys(unused)) {
			fmt.Fprintf(w, "- %s\n", quoted(key))
		}
	}
}

// quoted returns code for Markdown.
func quoted(code string) string {
	switch {
	case code == "":
		return "nothing"
	case strings.Contains(code, "`"):
		return "`` " + code + " ``"
	}
	return "`" + code + "`"
}
