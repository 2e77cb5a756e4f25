package websockettest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain makes sure that no goroutine is left when all tests have ended.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftBehind(); code == 0 && len(left) > 0 {
		fmt.Printf("goroutines left behind:\n%s\n", strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// leftBehind returns the goroutines of the library and of these tests that do not end.
func leftBehind() (left []string) {
	for range 1000 {
		left = nil
		buf := make([]byte, 4<<20)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "duplexkit/websocket") && !strings.Contains(g, "websockettest.leftBehind") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond) // until they have ended
	}
	return left
}

// A recorder is a test within a test, which is to fail.
type recorder struct {
	testing.TB // that it is within

	mu       sync.Mutex
	failed   bool
	errors   []string
	logs     []string
	cleanups []func()
}

// record runs a test with its cleanup, and returns what became of it.
func record(t testing.TB, test func(t testing.TB)) *recorder {
	r := &recorder{TB: t}
	goOn := make(chan struct{})
	go func() {
		defer close(goOn)
		defer func() {
			for len(r.cleanups) > 0 {
				last := len(r.cleanups) - 1
				f := r.cleanups[last]
				r.cleanups = r.cleanups[:last]
				f()
			}
		}()
		test(r)
	}()
	<-goOn
	return r
}

// requireFailure requires that a test fails and says this once, in words that contain the
// parts.
func requireFailure(t testing.TB, test func(t testing.TB), parts ...string) {
	t.Helper()
	r := record(t, test)
	require.True(t, r.Failed())
	require.Len(t, r.errors, 1)
	require.True(t, strings.HasPrefix(r.errors[0], "websockettest: "), r.errors[0])
	for _, part := range parts {
		require.Contains(t, r.errors[0], part)
	}
}

func (r *recorder) Helper() {}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Errorf(format string, args ...any) {
	r.Fail()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

// inBubble is a subtest in a bubble.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	var order []int
	r := record(t, func(t testing.TB) {
		t.Cleanup(func() { order = append(order, 2) })
		t.Cleanup(func() { order = append(order, 1) })
		t.Fatalf("%d", 1)
		panic("not reached")
	})
	require.True(t, r.Failed())
	require.Equal(t, []string{"1"}, r.errors)
	require.Equal(t, []int{1, 2}, order)
	require.False(t, record(t, func(testing.TB) {}).Failed())
}
