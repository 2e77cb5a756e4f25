package websockettest_test

import (
	"flag"
	"fmt"
	"testing"
)

// run runs what Examples show, as go test runs a test, and prints how that went. What the
// command line says about tests is not meant for it.
func run(test func(t *testing.T)) {
	for name, value := range map[string]string{"test.v": "false", "test.run": "", "test.skip": "", "test.count": "1", "test.cpu": ""} {
		f := flag.Lookup(name)
		before := f.Value.String()
		if err := f.Value.Set(value); err != nil {
			panic(err)
		}
		defer func() {
			if err := f.Value.Set(before); err != nil {
				panic(err)
			}
		}()
	}
	ran := false
	ok := testing.RunTests(func(pat, str string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "Test",
		F:    func(t *testing.T) { ran = true; test(t) },
	}})
	if ok && ran {
		fmt.Println("PASS")
	} else {
		fmt.Println("FAIL")
	}
}
