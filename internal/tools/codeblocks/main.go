// Command codeblocks compiles the Go code in Markdown documents:
//
//	codeblocks [-root DIR] [-o DIR] DOCUMENT...
//
// A block that begins with a package clause compiles as it is; with -o a program among them
// is built, and named after its document and its place there: README-1. Another block is a
// fragment: of declarations, or of statements, which become the body of a function that
// returns an error if they do. Packages of the standard library and of this repository are
// imported by their names, and a variable of a fragment need not be used.
//
// What else a fragment relies on stands in a comment, which readers do not see. Right above a
// block it is for that block:
//
//	<!-- go: import "github.com/prometheus/client_golang/prometheus"; var c *websocket.Conn -->
//
// Elsewhere it is for all blocks below it in the document, or for those with its label, which
// is a word behind the language: ```go gorilla
//
//	<!-- go gorilla: import "github.com/gorilla/websocket"; var c *websocket.Conn -->
//
// Of its imports and variables those count that a block uses and does not declare itself.
//
// A block compiles with the requirements of the first module of the repository that has what
// it imports. go vet has to be content with it too. Nothing is written to the repository.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "the repository, to which documents are relative")
	out := flag.String("o", "", "a directory for the programs")
	flag.Parse()
	if err := run(*root, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run checks the documents and says how many blocks they have.
func run(root, out string, documents []string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if out != "" {
		if out, err = filepath.Abs(out); err != nil {
			return err
		}
	}
	known, err := standardLibrary()
	if err != nil {
		return err
	}
	modules, err := findModules(root)
	if err != nil {
		return err
	}
	for name, path := range repositoryPackages {
		known[name] = path
	}

	var units []unit
	failed := false
	complain := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		failed = true
	}
	for _, document := range documents {
		text, err := os.ReadFile(filepath.Join(root, document))
		if err != nil {
			return err
		}
		blocks, err := parseDocument(document, string(text))
		if err != nil {
			complain(err)
			continue
		}
		for i, b := range blocks {
			u, err := place(b, known)
			if err == nil {
				u.name = unitName(document, i+1)
				u.module, err = moduleFor(u.imports, modules)
			}
			if err != nil {
				complain(fmt.Errorf("%s:%d: %w", b.document, b.line, err))
				continue
			}
			units = append(units, u)
		}
	}
	for _, m := range modules {
		if err := compile(m, units, out); err != nil {
			complain(err)
		}
	}
	if failed {
		return errors.New("not all Go code compiles")
	}
	if len(units) == 0 {
		return fmt.Errorf("no Go code in %d documents", len(documents))
	}
	fmt.Printf("%d blocks of Go compile\n", len(units))
	return nil
}
