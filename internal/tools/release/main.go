// Command release looks after the versions of the modules that are published: the root module
// and those below it, but for those in internal, examples, cmd and autobahn.
//
//	release compare [-root DIR] [-base REVISION]
//	release check [-root DIR] [-w] VERSION
//
// compare tells how the exported API of each module differs from that of its last tag,
// vX.Y.Z or http3/vX.Y.Z, among those that HEAD descends from. It fails if a change is
// incompatible, unless the version that the first heading of CHANGELOG.md announces may have
// such: a new major one, or in v0 a new minor one. Exit status 75 says that nothing was
// tagged yet. With -base it compares with any revision, and judges nothing.
//
// check tells whether HEAD can be tagged as VERSION. It makes a module proxy of HEAD, in files
// of a scratch directory, and builds what users would: each module by itself, a program that
// imports all packages, and the commands. With -w it first makes the modules below the root
// module ready for that: they require VERSION in the place of their replace.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// errNothingTagged says that there is nothing to compare with.
var errNothingTagged = errors.New("nothing was tagged yet: the API was NOT CHECKED")

const notChecked = 75 // the exit status for that

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case errors.Is(err, errNothingTagged):
		fmt.Println(err)
		os.Exit(notChecked)
	default:
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	usage := errors.New("usage: release compare [-root DIR] [-base REVISION] | release check [-root DIR] [-w] VERSION")
	if len(args) == 0 {
		return usage
	}
	flags := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	root := flags.String("root", ".", "the repository's `directory`")
	switch args[0] {
	case "compare":
		base := flags.String("base", "", "compare with this `revision`, and judge nothing")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if flags.NArg() > 0 {
			return usage
		}
		r, err := open(*root)
		if err != nil {
			return err
		}
		return r.compare(out, *base)
	case "check":
		write := flags.Bool("w", false, "have the modules below the root module require the version")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if flags.NArg() != 1 {
			return usage
		}
		r, err := open(*root)
		if err != nil {
			return err
		}
		if *write {
			return r.prepare(out, flags.Arg(0))
		}
		return r.check(out, flags.Arg(0))
	}
	return usage
}
