// Command apicheck compares the exported surface of this library with that of
// github.com/gorilla/websocket v1.5.3, whose programs must build here after
// changing the import path. It prints what is missing or incompatible and then
// exits with 1; -v also lists what this library adds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/types"
	"os"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"
)

const (
	theirs = "github.com/gorilla/websocket" // its version stands in go.mod
	ours   = "github.com/duplexkit/websocket"
)

func main() {
	verbose := flag.Bool("v", false, "list additions too")
	flag.Parse()
	old, new, err := load(theirs, ours)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apicheck:", err)
		os.Exit(1)
	}
	breaks, additions := compare(old, new)
	if *verbose {
		for _, a := range additions {
			fmt.Println("added:", a)
		}
	}
	for _, b := range breaks {
		fmt.Println("incompatible:", b)
	}
	fmt.Printf("%d exported names of %s compared, %d incompatibilities\n", len(exported(old)), theirs, len(breaks))
	if len(breaks) > 0 {
		os.Exit(1)
	}
}

// compare tells what a user of old would trip over in new, and what new adds.
// The packages' own types correspond by name, whatever the packages' paths.
func compare(old, new *types.Package) (breaks, additions []string) {
	for _, c := range apidiff.Changes(old, new).Changes {
		if c.Compatible {
			additions = append(additions, c.Message)
		} else {
			breaks = append(breaks, c.Message)
		}
	}
	return breaks, additions
}

// exported lists the exported package-level names of p.
func exported(p *types.Package) []string {
	var names []string
	for _, name := range p.Scope().Names() {
		if p.Scope().Lookup(name).Exported() {
			names = append(names, name)
		}
	}
	return names
}

// load type-checks both packages together, so that what they import is the same to both.
func load(oldPath, newPath string) (old, new *types.Package, err error) {
	const mode = packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedDeps
	pkgs, err := packages.Load(&packages.Config{Mode: mode}, oldPath, newPath)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			err = errors.Join(err, e)
		}
		switch p.PkgPath {
		case oldPath:
			old = p.Types
		case newPath:
			new = p.Types
		}
	}
	if err == nil && (old == nil || new == nil) {
		err = fmt.Errorf("%s and %s were not both found", oldPath, newPath)
	}
	return old, new, err
}
