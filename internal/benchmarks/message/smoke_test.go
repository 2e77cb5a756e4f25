package message

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Each benchmark is run for one operation, and with that all that it verifies.
func TestBenchmarks(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-test.run=^$", "-test.bench=.", "-test.benchtime=1x", "-test.short").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
