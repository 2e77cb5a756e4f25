// Command features finds out what this library and others can do, by running them and by
// reading their source, and writes the tables of docs/compared.md, and of README.md if there
// is a place for one:
//
//	go run .           print the table
//	go run . -write    write it
//
// Its test fails where the documents say something else than it finds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	write := flag.Bool("write", false, "write docs/compared.md, and the table in README.md if it has the marks for it")
	flag.Parse()
	if err := run(*write); err != nil {
		fmt.Fprintln(os.Stderr, "features:", err)
		os.Exit(1)
	}
}

func run(write bool) error {
	t, err := find()
	if err != nil {
		return err
	}
	if !write {
		fmt.Print(t.long())
		return nil
	}
	m, err := moduleOf(ours)
	if err != nil {
		return err
	}
	for _, name := range []string{"docs/compared.md", "README.md"} {
		path := filepath.Join(m.Dir, filepath.FromSlash(name))
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text, err := t.into(name, string(b))
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// find fills the whole table.
func find() (*table, error) {
	t := new(table)
	var errs []error
	for _, r := range rows {
		var found []verdict
		for i, s := range r.sources {
			v, err := s.find(libraries[i])
			if err != nil {
				errs = append(errs, fmt.Errorf("%s, %s: %w", r.title, libraries[i].name, err))
			}
			found = append(found, v)
		}
		t.cells = append(t.cells, found)
	}
	return t, errors.Join(errs...)
}
