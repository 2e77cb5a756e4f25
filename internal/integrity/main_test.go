package integrity

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// TestMain makes sure that no goroutine is left when all connections have ended.
func TestMain(m *testing.M) {
	flag.Parse()
	if *full {
		debug.SetGCPercent(400) // most of the memory is what ReadMessage and ReadJSON return, and is garbage at once
	}
	code := m.Run()
	if left := leftBehind(); code == 0 && len(left) > 0 {
		fmt.Printf("goroutines left behind:\n%s\n", strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// leftBehind returns the goroutines of the library and of these tests that do not end.
func leftBehind() []string {
	var left []string
	for range 1500 {
		if left = goroutines(); len(left) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond) // until they have ended
	}
	return left
}

func goroutines() (stacks []string) {
	buf := make([]byte, 16<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "duplexkit/websocket") && !strings.Contains(g, "integrity.goroutines") {
			stacks = append(stacks, g)
		}
	}
	return stacks
}
