package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const networkLines = `goos: linux
BenchmarkPingPong/200x512B/duplexkit-2	100	9000.0 ns/op	4100.0 cpu-ns/op	110000 msgs/s	900000 p50-ns	2000000 p99-ns	1.00 allocs/op
BenchmarkPingPong/200x512B/gws-2	100	9000.0 ns/op	6000.0 cpu-ns/op	90000 msgs/s	800000 p50-ns	3000000 p99-ns	2.00 allocs/op
BenchmarkPingPong/200x512B/raw-2	100	9000.0 ns/op	5000.0 cpu-ns/op	120000 msgs/s	700000 p50-ns	1000000 p99-ns	0.00 allocs/op
BenchmarkPingPong/200x512B/duplexkit-2	100	9000.0 ns/op	4000.0 cpu-ns/op	110000 msgs/s	900000 p50-ns	2000000 p99-ns	1.00 allocs/op
BenchmarkPingPong/200x512B/gws-2	100	9000.0 ns/op	4500.0 cpu-ns/op	90000 msgs/s	800000 p50-ns	3000000 p99-ns	2.00 allocs/op
BenchmarkPingPong/200x512B/raw-2	100	9000.0 ns/op	4800.0 cpu-ns/op	120000 msgs/s	700000 p50-ns	1000000 p99-ns	0.00 allocs/op
BenchmarkIdle/10000/duplexkit-returned-2	10000	4600 B/conn	3700 gc-B/conn	1 goroutines/conn
BenchmarkMask/4096-2	10	25 ns/memmove	50 ns/ours	0.5 x/memmove
BenchmarkUnmaskText/ascii/4096-2	10	100 ns/gobwas	40 ns/ours
`

func TestNetwork(t *testing.T) {
	var r results
	if err := r.read(strings.NewReader(networkLines)); err != nil {
		t.Fatal(err)
	}
	got := r.markdown()
	for _, want := range []string{
		"| ping-pong echo, 200 connections, 512 B: ReadMessage, WriteMessage | <= 1.05 x raw | 0.83 | met | 4.00 µs | 4.80 µs |\n" +
			"|  | <= 0.85 x the best peer | 0.89 | **not met** | 4.00 µs | 4.50 µs, gws |\n",
		"| pipelined echo, 64 per write, Serve | <= 2 x raw |  | not measured |  |  |\n",
		"| idle connection, handler returned | <= 4.75 KB | 3.70 | met | 3.70 KB |  |\n",
		"| the same before a collection | <= 4.75 KB | 4.60 | met | 4.60 KB |  |\n",
		"| mask 4 KiB | >= 0.75 x memmove | 0.50 | **not met** | 50.0 ns | 25.0 ns |\n",
		"| the same of ASCII | >= 2.5 x gobwas + utf8.Valid | 2.50 | met | 40.0 ns | 100 ns |\n",
		`
Ping-pong echo, connections x payload: µs of the processor for each, median (least), of 2

| | 200x512B |
|---|--:|
| duplexkit | **4.0 (4.0)** |
| gws | 5.2 (4.5) |
| raw | 4.9 (4.8) |

Ping-pong echo, connections x payload: thousands a second, of 2

| | 200x512B |
|---|--:|
| duplexkit | **110** |
| gws | 90 |
| raw | 120 |

Ping-pong echo, connections x payload: µs until the reply, median / 99 of 100, of 2

| | 200x512B |
|---|--:|
| duplexkit | 900 / 2000 |
| gws | **800 / 3000** |
| raw | 700 / 1000 |
`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no\n%s\nin\n%s", want, got)
		}
	}

	dir := t.TempDir()
	if err := r.draw(dir); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "pingpong.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", ">gws", ">4.5<", "sans-serif"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("there is no %q in\n%s", want, svg)
		}
	}
}
