// Command covercheck prints the statement coverage of each file of a package
// and fails if one, or all together, have less than they must.
//
//	covercheck -full frame.go,mask.go -above 90 -total 98 example.org/package coverage.out
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/cover"
)

func main() {
	full := flag.String("full", "", "comma-separated `files` of which every statement must be covered")
	above := flag.Float64("above", 90, "`percentage` that every other file must exceed")
	total := flag.Float64("total", 0, "`percentage` that all files together must reach")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: covercheck [flags] package profile")
		os.Exit(2)
	}
	profiles, err := cover.ParseProfiles(flag.Arg(1))
	if err != nil {
		fmt.Fprintln(os.Stderr, "covercheck:", err)
		os.Exit(2)
	}
	if !check(os.Stdout, flag.Arg(0), profiles, strings.Split(*full, ","), *above, *total) {
		os.Exit(1)
	}
}

// check writes a line per file of pkg and tells whether all have what they must.
func check(w io.Writer, pkg string, profiles []*cover.Profile, full []string, above, least float64) (good bool) {
	good = true
	sumCovered, sum := 0, 0
	seen := make(map[string]bool)
	for _, p := range profiles {
		if path.Dir(p.FileName) != pkg {
			continue
		}
		name := path.Base(p.FileName)
		seen[name] = true
		covered, total := count(p)
		if total == 0 {
			continue
		}
		sumCovered, sum = sumCovered+covered, sum+total
		percent := 100 * float64(covered) / float64(total)
		verdict := ""
		switch {
		case slices.Contains(full, name) && covered < total:
			verdict = "  must be 100 %, missing: " + strings.Join(gaps(p), " ")
		case !slices.Contains(full, name) && percent <= above:
			verdict = fmt.Sprintf("  must be above %v %%, missing: %s", above, strings.Join(gaps(p), " "))
		}
		good = good && verdict == ""
		fmt.Fprintf(w, "%-20s %4d of %4d statements  %5.1f %%%s\n", name, covered, total, percent, verdict)
	}
	percent := 100 * float64(sumCovered) / float64(max(sum, 1))
	verdict := ""
	if percent < least {
		good = false
		verdict = fmt.Sprintf("  must be %v %% at least", least)
	}
	fmt.Fprintf(w, "%-20s %4d of %4d statements  %5.1f %%%s\n", "all files", sumCovered, sum, percent, verdict)
	for _, name := range full {
		if !seen[name] {
			good = false
			fmt.Fprintf(w, "%-20s not in the profile\n", name)
		}
	}
	return good
}

func count(p *cover.Profile) (covered, total int) {
	for _, b := range p.Blocks {
		total += b.NumStmt
		if b.Count > 0 {
			covered += b.NumStmt
		}
	}
	return covered, total
}

// gaps lists the lines that no test reached.
func gaps(p *cover.Profile) (lines []string) {
	for _, b := range p.Blocks {
		if b.Count == 0 && b.NumStmt > 0 {
			lines = append(lines, fmt.Sprintf("%d-%d", b.StartLine, b.EndLine))
		}
	}
	return lines
}
