package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	_ "github.com/duplexkit/websocket/autobahn/internal/playflag"
	"github.com/duplexkit/websocket/autobahn/internal/resultstest"
)

// reports writes the reports about a server and a client.
func reports(t *testing.T, changed map[string]resultstest.Case) (dir string) {
	dir = t.TempDir()
	for name, isServer := range map[string]bool{"servers": false, "clients": true} {
		cases := resultstest.Perfect(isServer)
		if !isServer {
			cases = resultstest.But(cases, changed)
		}
		err := resultstest.Write(filepath.Join(dir, name), map[string]map[string]resultstest.Case{"agent": cases})
		require.NoError(t, err)
	}
	return dir
}

func TestReport(t *testing.T) {
	perfect := reports(t, nil)
	late := reports(t, map[string]resultstest.Case{"6.4.1": {Behavior: "NON-STRICT", BehaviorClose: "OK", Result: "late"}})
	plain := reports(t, map[string]resultstest.Case{"12.1.1": {Behavior: "UNIMPLEMENTED", BehaviorClose: "OK"}})
	tests := []struct {
		name string
		args []string
		ok   bool
		says string
	}{
		{"perfect", []string{perfect}, true, "client agent: 517 cases, 514 OK, 3 INFORMATIONAL, 0 pending, 0 wrong or missing\n"},
		{"two directories", []string{filepath.Join(perfect, "servers"), filepath.Join(perfect, "clients", "index.json")}, true, ""},
		{"not strict", []string{late}, false, "server agent  6.4.1  NON-STRICT, not OK: late\n"},
		{"not asked for", []string{"-cases", "1.*, 2.*", "-roles", "client", filepath.Join(late, "clients")}, true, ""},
		{"not implemented", []string{plain}, false, "server agent  12.1.1  UNIMPLEMENTED, not OK\n"},
		{"pending", []string{"-pending", "12,13", plain}, true, "513 OK, 3 INFORMATIONAL, 1 pending"},
		{"pending elsewhere", []string{"-pending", "13", plain}, false, "12.1.1"},
		{"own cases are not there", []string{"-cases", "1.*,20.*", "-every", "1.*", perfect}, false, "no agent played it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			ok, err := report(test.args, &out, io.Discard)
			require.NoError(t, err)
			require.Equal(t, test.ok, ok, out.String())
			require.Contains(t, out.String(), test.says)
		})
	}
}

func TestReportWritesMarkdown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary.md")
	ok, err := report([]string{"-markdown", file, reports(t, nil)}, io.Discard, io.Discard)
	require.NoError(t, err)
	require.True(t, ok)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "| 6 | UTF-8 | 145/145 | 145/145 |\n")
}

func TestReportRefuses(t *testing.T) {
	for _, args := range [][]string{
		nil, {"-no-such-flag", "x"}, {"-pending", "twelve", "x"}, {"-roles", "servers", "x"}, {t.TempDir()},
		{"-pending", "99", reports(t, nil)}, {"-pending", "12,1", reports(t, nil)},
		{"-cases", "8.*", reports(t, nil)}, {"-markdown", filepath.Join(t.TempDir(), "absent", "x.md"), reports(t, nil)},
	} {
		_, err := report(args, io.Discard, io.Discard)
		require.Error(t, err, "%q", args)
	}
	_, err := report([]string{reports(t, nil), "-pending", "12"}, io.Discard, io.Discard)
	require.ErrorContains(t, err, "-pending stands behind a directory")
	_, err = report([]string{"-h"}, io.Discard, io.Discard)
	require.ErrorIs(t, err, flag.ErrHelp)
}
