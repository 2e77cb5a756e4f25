//go:build !js

package wasmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostRun chooses among the tests in the host, as -run does among those here.
var hostRun = flag.String("host.run", "", "run the tests in the host whose names match this `regexp`")

// hostBench does so for benchmarks, in Node.
var hostBench = flag.String("host.bench", "", "run the benchmarks in Node whose names match this `regexp`")

// limit is for what a host may take for all tests. None takes so long.
const limit = 5 * time.Minute

// lack skips the test, or fails it if WEBSOCKET_INTEROP is require or all.
func lack(t *testing.T, msg string) {
	t.Helper()
	if demanded := os.Getenv("WEBSOCKET_INTEROP"); demanded == "require" || demanded == "all" {
		require.FailNow(t, msg)
	}
	t.Skip(msg)
}

// program builds the tests for js/wasm, once. It returns the file, and the directory of
// the Go distribution with what runs it.
func program(t *testing.T) (file, support string) {
	if testing.Short() {
		t.Skip("it compiles everything for js/wasm, which takes a minute at first; run it without -short")
	}
	b, err := built()
	require.NoError(t, err)
	return b.file, b.support
}

type buildResult struct{ file, support string }

var built = sync.OnceValues(func() (b buildResult, err error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return b, fmt.Errorf("go env GOROOT: %w", err)
	}
	b.support = filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm")
	b.file = filepath.Join(programs, "client.wasm")
	cmd := exec.Command("go", "test", "-c", "-ldflags=-s -w", "-o", b.file, ".")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return b, fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return b, nil
})

// programs is the directory of what is built.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "websocket-wasmtest-")
	if err != nil {
		log.Fatal(err)
	}
	programs = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// node returns the options with which node has a WebSocket object.
func node(t *testing.T) (options string) {
	const install = "; to install it: npm install --global node@22, or see https://nodejs.org/"
	if _, err := exec.LookPath("node"); err != nil {
		lack(t, "node is missing, from version 22 on"+install)
	}
	for _, options := range []string{"", "--experimental-websocket"} { // the latter is for versions 20.10 to 21
		cmd := exec.Command("node", "-p", "typeof WebSocket")
		cmd.Env = append(os.Environ(), "NODE_OPTIONS="+options)
		if out, err := cmd.Output(); err == nil && strings.TrimSpace(string(out)) == "function" {
			return options
		}
	}
	lack(t, "node is older than version 22, and has no WebSocket object"+install)
	return ""
}

// requirePassed judges what the tests said, of which so many are too few.
func requirePassed(t *testing.T, said string, err error) {
	t.Helper()
	least := 10
	if *hostRun != "" {
		least = 1
	}
	passed := regexp.MustCompile(`(?m)^--- PASS: `).FindAllString(said, -1)
	if testing.Verbose() || err != nil || len(passed) < least {
		t.Logf("the tests said:\n%s", said)
	}
	require.NoError(t, err)
	require.NotContains(t, said, "--- FAIL")
	require.GreaterOrEqual(t, len(passed), least, "too few tests have passed")
}

func TestNode(t *testing.T) {
	options := node(t)
	file, support := program(t)
	server := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "node", "--stack-size=8192", filepath.Join(support, "wasm_exec_node.js"),
		file, "-test.v", "-test.timeout=4m", "-test.run="+*hostRun, "-test.bench="+*hostBench)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NODE_OPTIONS=" + options, serverVariable + "=" + server.url}
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	requirePassed(t, said.String(), err)
}

func TestChromium(t *testing.T) {
	testBrowser(t, "chromium", func(dir string) []string {
		return []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + dir}
	})
}

func TestFirefox(t *testing.T) {
	if os.Getenv("WEBSOCKET_INTEROP") != "all" {
		t.Skip("of the full set, which WEBSOCKET_INTEROP=all asks for")
	}
	testBrowser(t, "firefox-esr", func(dir string) []string {
		prefs, err := os.ReadFile(filepath.Join("..", "interop", "testdata", "firefox", "user.js"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "user.js"), prefs, 0o600))
		return []string{"--headless", "--no-remote", "--profile", dir}
	})
}

// testBrowser runs the tests in a browser, which is a Debian package of that name. args returns
// its arguments for a directory of its own.
func testBrowser(t *testing.T, name string, args func(dir string) []string) {
	browser, err := exec.LookPath(name)
	if err != nil {
		lack(t, name+" is missing; to install it: apt-get install "+name)
	}
	file, support := program(t)
	server := serve(t)
	type report struct {
		Code int
		Said string
	}
	reports := make(chan report, 1)
	server.mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		var got report
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			got = report{Code: -1, Said: err.Error()}
		}
		select {
		case reports <- got:
		default: // it has said so already
		}
	})
	for path, f := range map[string]string{
		"/{$}": filepath.Join("testdata", "index.html"), "/wasm_exec.js": filepath.Join(support, "wasm_exec.js"), "/client.wasm": file,
	} {
		server.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, f) })
	}

	// The browser is one of many processes that end with it, and leaves files until they have.
	dir, err := os.MkdirTemp("", "websocket-wasmtest-")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var said bytes.Buffer
	page := "http" + strings.TrimPrefix(server.url, "ws") + "/?" + url.Values{serverVariable: {server.url}, "run": {*hostRun}}.Encode()
	cmd := exec.CommandContext(ctx, browser, append(args(dir), page)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, "MOZ_CRASHREPORTER_DISABLE=1")
	cmd.Stdout, cmd.Stderr = &said, &said
	kill := ownGroup(cmd)
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	defer func() {
		kill()
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 10*time.Second, 20*time.Millisecond)
	}()
	select {
	case got := <-reports:
		if got.Code != 0 {
			err = fmt.Errorf("exit code %d", got.Code)
		}
		requirePassed(t, got.Said, err)
	case err := <-exited:
		require.FailNow(t, "the browser has ended", "%v\n%s", err, said.String())
	case <-ctx.Done():
		require.FailNow(t, "the browser has not reported")
	}
	kill()
	if err := <-exited; err != nil {
		var ended *exec.ExitError
		require.True(t, errors.As(err, &ended), "%v", err)
	}
}
