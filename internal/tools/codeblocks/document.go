package main

import (
	"fmt"
	"regexp"
	"strings"
)

// A block is Go code in a document.
type block struct {
	document string
	line     int // of its first line of code
	code     string
	needs    []needs // what it relies on
}

// needs is what a comment says that blocks rely on, in Go.
type needs struct {
	line         int
	declarations string
}

var (
	fence   = regexp.MustCompile("^([ \t]*)(```+|~~~+)[ \t]*([^ \t`]*)[ \t]*([^`]*)$")
	opening = regexp.MustCompile(`^[ \t]*<!--[ \t]*go(?:[ \t]+([^ \t:]+))?:`)
)

// parseDocument finds the blocks of Go in a document.
func parseDocument(document, text string) ([]block, error) {
	var (
		blocks   []block
		standing = map[string][]needs{} // by label
		lines    = strings.Split(text, "\n")
	)
	for i := 0; i < len(lines); i++ {
		var own []needs
		if m := opening.FindStringSubmatch(lines[i]); m != nil {
			n := needs{line: i + 1, declarations: lines[i][len(m[0]):]}
			for !strings.Contains(n.declarations, "-->") {
				if i++; i == len(lines) {
					return nil, fmt.Errorf("%s:%d: the comment does not end", document, n.line)
				}
				n.declarations += "\n" + lines[i]
			}
			n.declarations, _, _ = strings.Cut(n.declarations, "-->")
			above := i+1 < len(lines) && fence.MatchString(lines[i+1])
			if !above {
				standing[m[1]] = append(standing[m[1]], n)
				continue
			}
			if m[1] != "" {
				return nil, fmt.Errorf("%s:%d: a comment for the block below it needs no label", document, n.line)
			}
			own = []needs{n}
			i++
		}
		m := fence.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		indent, marks, language, label := m[1], m[2], m[3], strings.TrimSpace(m[4])
		b := block{document: document, line: i + 2}
		for {
			if i++; i == len(lines) {
				return nil, fmt.Errorf("%s:%d: the block does not end", document, b.line-1)
			}
			line := strings.TrimPrefix(lines[i], indent)
			if end := strings.TrimSpace(line); strings.HasPrefix(end, marks) && strings.Trim(end, marks[:1]) == "" {
				break
			}
			b.code += line + "\n"
		}
		if language != "go" {
			if own != nil {
				return nil, fmt.Errorf("%s:%d: a comment about Go is above a block of another language", document, own[0].line)
			}
			if strings.EqualFold(language, "go") || strings.EqualFold(language, "golang") {
				return nil, fmt.Errorf("%s:%d: the language is written as go", document, b.line-1)
			}
			continue
		}
		if label != "" && standing[label] == nil {
			return nil, fmt.Errorf("%s:%d: no comment above has the label %q", document, b.line-1, label)
		}
		b.needs = append(append(b.needs, standing[label]...), own...)
		blocks = append(blocks, b)
	}
	return blocks, nil
}
