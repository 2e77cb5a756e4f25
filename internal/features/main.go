// Command features finds out what this library and others can do, by running them and by
// reading their source, and writes the tables of docs/compared.md, and of README.md if there
// is a place for one:
//
//	go run .            print the table, and how each cell was found
//	go run . -readme    print the short table, with the marks that README.md needs
//	go run . -write     write both
//
// Its test fails where the documents say something else than it finds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

func main() {
	write := flag.Bool("write", false, "write docs/compared.md, and the table in README.md if it has the marks for it")
	readme := flag.Bool("readme", false, "print the short table, with the marks that README.md needs")
	flag.Parse()
	if err := run(*write, *readme); err != nil {
		fmt.Fprintln(os.Stderr, "features:", err)
		os.Exit(1)
	}
}

func run(write, readme bool) error {
	if runtime.GOOS != "linux" {
		return errors.New("the table is that of Linux, where an idle connection needs no goroutine: run this there")
	}
	t, err := find()
	if err != nil {
		return err
	}
	switch {
	case readme:
		fmt.Print(begin + "\n" + t.brief() + "\n" + end)
		return nil
	case !write:
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

// find fills the whole table. What counts goroutines goes first and alone; the others run
// beside each other, since some wait.
func find() (*table, error) {
	t := &table{cells: make([][]verdict, len(rows))}
	errs := make([]error, len(rows)*len(libraries))
	cell := func(i, j int) {
		v, err := rows[i].sources[j].find(libraries[j])
		if err != nil {
			errs[i*len(libraries)+j] = fmt.Errorf("%s, %s: %w", rows[i].title, libraries[j].name, err)
		}
		t.cells[i][j] = v
	}
	var wg sync.WaitGroup
	busy := make(chan struct{}, 4)
	for _, alone := range []bool{true, false} {
		for i := range rows {
			if rows[i].alone != alone {
				continue
			}
			t.cells[i] = make([]verdict, len(libraries))
			for j := range libraries {
				if alone {
					cell(i, j)
					continue
				}
				busy <- struct{}{}
				wg.Go(func() {
					defer func() { <-busy }()
					cell(i, j)
				})
			}
		}
	}
	wg.Wait()
	return t, errors.Join(errs...)
}
