//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's console blocks do what they say: a line with a dollar sign is a command, the
// lines below are its output, in which "..." stands for anything.
func testReadme(t *testing.T, program string) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	dir := t.TempDir()
	server, url := listening(t, "-compress", "-s", "chat")
	address := strings.TrimPrefix(url, "ws://")

	const mark = "-- end of a command --"
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		text := strings.ReplaceAll(block[1], "localhost:8080", address)
		var script strings.Builder
		var want []string
		for line := range strings.Lines(text) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				script.WriteString("{ " + strings.TrimSpace(command) + "; } 2>&1\nstatus=$?; echo '" + mark + "'; (exit $status)\n")
				want = append(want, "")
				continue
			}
			require.NotEmpty(t, want, "output before any command")
			want[len(want)-1] += line
		}
		cmd := exec.Command("sh", "-c", script.String())
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
		out, _ := cmd.Output() // its status is that of the last command, which the block may want to fail
		got := strings.Split(string(out), mark+"\n")
		require.Len(t, got, len(want)+1, "%s", out)
		for i, w := range want {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(w), regexp.QuoteMeta("..."), `(?s:.+?)`)
			require.Regexp(t, "^"+pattern+"$", got[i], script.String())
		}
	}
	stopped(t, server)
}
