package main

import (
	"strings"
	"testing"
)

func TestMarkdown(t *testing.T) {
	const in = `goos: linux
cpu: Some
BenchmarkWrite/single/chat200/own12-fast-2   100   9 ns/op  2000 cpu-ns/op  0.5 ratio  0 allocs/op
BenchmarkWrite/single/chat200/std-2   100   9 ns/op  30000 cpu-ns/op  0.25 ratio  3 allocs/op
BenchmarkWrite/single/chat200/own12-fast-2   100   9 ns/op  900 cpu-ns/op  0.5 ratio  0 allocs/op
BenchmarkWrite/single/chat200/own12-fast-2   100   9 ns/op  1234 cpu-ns/op  0.5 ratio  0 allocs/op
BenchmarkWrite/single/chat200/none-2   100   9 ns/op  100 cpu-ns/op  1.01 ratio  0 allocs/op
PASS
goos: linux
BenchmarkOther/a/x   100   500 ns/op
BenchmarkOther/b/y   100   1500 ns/op
BenchmarkAlone-2   100   1500 ns/op
BenchmarkIdleConnection/single/read/own-2   1   -20 B/conn   2048 B/plain
`
	const want = `Measured on linux, Some.

Memory kept for a connection's end, no context takeover: KiB, median of 1

| | own |
|---|--:|
| read | **0.0** |
| without compression | **2.0** |

Writing a message, no context takeover: µs (ratio), median of 3

| | own12-fast | std | none |
|---|--:|--:|--:|
| chat200 | **1.2** (0.500) | 30 (**0.250**) | 0.10 (1.010) |
| allocations, chat200 | **0** | 3 | **0** |

Other: µs, elapsed, median of 1

| | x | y |
|---|--:|--:|
| a | **0.50** |  |
| b |  | **1.5** |
`
	var r results
	if err := r.read(strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	if got := r.markdown(); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	for _, bad := range []string{"--- FAIL: BenchmarkWrite", "BenchmarkWrite/a/b/c 1 x ns/op"} {
		if err := r.read(strings.NewReader(bad)); err == nil {
			t.Fatalf("no error from %q", bad)
		}
	}
}
