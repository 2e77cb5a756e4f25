package benchmarks

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Each benchmark is run for one operation on some of the data.
func TestBenchmarks(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-test.run=^$", "-test.bench=./^(chat200|ticks192)$", "-test.benchtime=1x").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
