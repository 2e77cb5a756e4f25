// Command doccheck checks the documentation of Go packages as pkg.go.dev shows it:
//
//	doccheck [-deprecated NAMES] [-examples NAMES] [-notrun NAMES] DIR...
//
// Each directory holds a module. Every package, programs included, has one package comment,
// which begins with "Package name" or "Command name". In packages that others can import,
// every exported constant, variable, function, type and method has a comment that begins with
// its name, or stands in a group that has a comment, and every exported field has one too;
// a link, which is a name in brackets, leads somewhere; "Deprecated: " begins a paragraph, of
// the names given by -deprecated and no others.
//
// Examples have an Output, so that go test runs them, but for those that -notrun names, as
// websocket.ExampleGroup. -examples names what must have an Example, as websocket.Conn.Close,
// and websocket for the package. Names are separated by commas or blanks.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"unicode"
)

func main() {
	deprecated := flag.String("deprecated", "", "what is deprecated: `names`")
	examples := flag.String("examples", "", "what must have an Example: `names`")
	notRun := flag.String("notrun", "", "examples without an Output: `names`")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	c := &checker{deprecated: split(*deprecated), examples: split(*examples), notRun: split(*notRun)}
	for _, dir := range flag.Args() {
		if err := c.module(dir); err != nil {
			fmt.Fprintln(os.Stderr, "doccheck:", err)
			os.Exit(1)
		}
	}
	c.finish()
	for _, p := range c.problems {
		fmt.Println(p)
	}
	fmt.Printf("%d packages, %d exported names, %d examples, %d problems\n", c.packages, c.names, len(c.seenExamples), len(c.problems))
	if len(c.problems) > 0 {
		os.Exit(1)
	}
}

func split(names string) []string {
	return strings.FieldsFunc(names, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}
