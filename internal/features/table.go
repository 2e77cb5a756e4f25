package main

import (
	"fmt"
	"regexp"
	"strings"
)

// row is one line of the table.
type row struct {
	title   string
	short   bool // is also in README.md
	means   string
	sources [5]source // in the order of libraries
	alone   bool      // nothing else may run meanwhile
}

// table is what was found: the verdicts of each row.
type table struct{ cells [][]verdict }

// names are the heads of the columns.
func names(versions bool) string {
	var b strings.Builder
	for _, l := range libraries {
		name := l.name
		if l != ours {
			name = strings.TrimPrefix(l.module, "github.com/")
		}
		if m, err := moduleOf(l); versions && err == nil && l != ours {
			name += " " + m.Version
		}
		b.WriteString(" " + name + " |")
	}
	return b.String()
}

func (t *table) head(b *strings.Builder) {
	b.WriteString("| |" + names(true) + "\n|---|" + strings.Repeat("---|", len(libraries)) + "\n")
}

// long is the whole table, and how each cell was found.
func (t *table) long() string {
	var b strings.Builder
	t.head(&b)
	for i, r := range rows {
		t.row(&b, i, "["+r.title+"](#"+slug(r.title)+")")
	}
	for i, r := range rows {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", r.title, r.means)
		for j, l := range libraries {
			v := t.cells[i][j]
			fmt.Fprintf(&b, "- %s: %s. %s\n", l.name, v.cell, v.saw)
		}
	}
	return b.String()
}

// brief is the table of README.md.
func (t *table) brief() string {
	var b strings.Builder
	t.head(&b)
	for i, r := range rows {
		if r.short {
			t.row(&b, i, "["+r.title+"](docs/compared.md#"+slug(r.title)+")")
		}
	}
	return b.String()
}

func (t *table) row(b *strings.Builder, i int, title string) {
	b.WriteString("| " + title + " |")
	for _, v := range t.cells[i] {
		b.WriteString(" " + v.cell + " |")
	}
	b.WriteString("\n")
}

var dropped = regexp.MustCompile(`[^\pL\pN\- ]`)

// slug is the anchor that GitHub gives a heading.
func slug(title string) string {
	return strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

const (
	begin = "<!-- features: go -C internal/features run . -write -->\n"
	end   = "<!-- end of features -->\n"
)

// into puts the document's table in between its marks. README.md may have none.
func (t *table) into(name, document string) (string, error) {
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		if name == "README.md" {
			return document, nil
		}
		return "", fmt.Errorf("%s has no line %q", name, strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("%s has no line %q", name, strings.TrimSpace(end))
	}
	text := t.brief()
	if name != "README.md" {
		text = t.long()
	}
	return before + begin + "\n" + text + "\n" + end + after, nil
}
