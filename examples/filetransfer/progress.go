package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A bar shows how far a transfer has come, on a line of a terminal that it writes again
// and again. Elsewhere, in a log say, it writes a line at the end.
type bar struct {
	out      io.Writer
	name     string
	terminal bool

	start, size, done int64
	began, drawn      time.Time
}

// redraw is how often the line is written, at most.
const redraw = 100 * time.Millisecond

func newBar(out io.Writer, name string, terminal bool) *bar {
	return &bar{out: out, name: name, terminal: terminal}
}

func (b *bar) begin(offset, size int64) {
	b.start, b.done, b.size, b.began = offset, offset, size, time.Now()
	if offset > 0 && offset < size {
		fmt.Fprintf(b.out, "%s: going on from %s\n", b.name, sizeOf(offset))
	}
}

func (b *bar) Write(p []byte) (int, error) {
	b.done += int64(len(p))
	if now := time.Now(); b.terminal && now.Sub(b.drawn) >= redraw {
		b.drawn = now
		fmt.Fprintf(b.out, "\r%s\x1b[K", line(b.name, b.done, b.size, b.rate(now)))
	}
	return len(p), nil
}

// end leaves the last line standing.
func (b *bar) end(err error) {
	switch now := time.Now(); {
	case b.began.IsZero():
	case b.terminal:
		fmt.Fprintf(b.out, "\r%s\x1b[K\n", line(b.name, b.done, b.size, b.rate(now)))
	case err == nil:
		fmt.Fprintf(b.out, "%s: %s complete, %s transferred\n", b.name, sizeOf(b.size), sizeOf(b.done-b.start))
	}
}

// moved reports whether anything was transferred.
func (b *bar) moved() bool { return b.done > b.start }

// rate is in bytes per second.
func (b *bar) rate(now time.Time) float64 {
	return float64(b.done-b.start) / max(now.Sub(b.began).Seconds(), 1e-3)
}

// line is what a bar shows.
func line(name string, done, size int64, rate float64) string {
	const width = 24
	part := 1.0
	if size > 0 {
		part = min(float64(done)/float64(size), 1)
	}
	filled := int(part * width)
	left := ""
	if rate >= 1 && done < size {
		left = fmt.Sprintf(", %v left", time.Duration(float64(size-done)/rate*float64(time.Second)).Round(time.Second))
	}
	return fmt.Sprintf("%s %3d%% [%s%s] %s of %s, %s/s%s", name, int(part*100),
		strings.Repeat("#", filled), strings.Repeat(".", width-filled), sizeOf(done), sizeOf(size), sizeOf(int64(rate)), left)
}

// sizeOf names a size as people do.
func sizeOf(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/(1<<10), 0
	for f >= 1<<10 && unit < len("KMGTPE")-1 {
		f /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTPE"[unit])
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
