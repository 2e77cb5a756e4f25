// Package xconnect turns on what net/http has of RFC 8441 in its servers and keeps off by
// default: SETTINGS_ENABLE_CONNECT_PROTOCOL and requests with :protocol. net/http looks for
// http2xconnect=1 in the environment variable GODEBUG when it is initialised, once, and
// neither a go.mod nor a //go:debug line may say so.
//
// Packages are initialised in the order of their import paths, as far as what they import
// is (The Go Programming Language Specification, "Program initialization"). This one imports
// nothing that imports net/http, and "github.com" comes before "net/http".
package xconnect

import (
	"os"
	"strings"
)

const name = "http2xconnect="

func init() {
	debug := os.Getenv("GODEBUG")
	if strings.Contains(debug, name) {
		return // whoever runs the program has decided
	}
	if debug != "" {
		debug += ","
	}
	os.Setenv("GODEBUG", debug+name+"1")
}
