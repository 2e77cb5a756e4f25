// Package playflag holds the flags of go test ./autobahn/... that say what is
// played against the endpoints. The tests of each package there import it, so
// that one command can hand the flags to all of them.
package playflag

import (
	"errors"
	"flag"
	"path/filepath"
)

var (
	All      = flag.Bool("conformance.all", false, "play limits, speed and compression, too, over every read path")
	Full     = flag.Bool("conformance.full", false, "play all that with 1000 messages in each case of compression, as the suite does: takes hours")
	Cases    = flag.String("conformance.cases", "", "play the cases of these `patterns`, such as 6.4.*,9.*, over every read path, and no others")
	Messages = flag.Int("conformance.messages", 0, "play `N` messages in each case of compression (default 20, with -conformance.full 1000)")
	Report   = directory("conformance.report", "keep the reports in this `directory`, an absolute path")
)

// directory defines a flag that is an absolute path: go test runs each test in
// the directory of its package, and does not tell where it was called.
func directory(name, usage string) *string {
	dir := new(string)
	flag.Func(name, usage, func(path string) error {
		if path != "" && !filepath.IsAbs(path) {
			return errors.New("not an absolute path")
		}
		*dir = path
		return nil
	})
	return dir
}
