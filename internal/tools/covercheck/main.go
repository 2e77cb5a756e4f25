// Command covercheck prints the statement coverage of each file of a package
// and fails if one has less than it must.
//
//	covercheck -full frame.go,mask.go -above 90 example.org/package coverage.out
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
	if !check(os.Stdout, flag.Arg(0), profiles, strings.Split(*full, ","), *above) {
		os.Exit(1)
	}
}

// check writes a line per file of pkg and tells whether all have what they must.
func check(w io.Writer, pkg string, profiles []*cover.Profile, full []string, above float64) (good bool) {
	good = true
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
