package conformance_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/conformance"
)

func serve(t *testing.T, config conformance.Config) (*conformance.FuzzingServer, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := conformance.NewServer(config)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, <-served)
	})
	return server, "ws://" + listener.Addr().String()
}

func TestServerAnswersLikeTheSuite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, base := serve(t, conformance.Config{Cases: []string{"2.1", "1.1.2"}, Dir: dir})

	count, err := ask(base + "/getCaseCount")
	require.NoError(t, err)
	require.Equal(t, "2", string(count))

	info, err := ask(base + "/getCaseInfo?case=2")
	require.NoError(t, err)
	var told map[string]string
	require.NoError(t, json.Unmarshal(info, &told))
	require.Equal(t, "2.1", told["id"])
	require.NotEmpty(t, told["description"])

	_, err = ask(base + "/getCaseStatus?case=2&agent=a")
	require.ErrorContains(t, err, "400", "not played yet")
	for _, query := range []string{"case=1&agent=a", "casetuple=2.1&agent=a"} {
		e, err := dial(base+"/runCase?"+query, "answers no pings", false)
		require.NoError(t, err)
		if query == "case=1&agent=a" {
			e.fault = ""
		} else {
			e.fault = "sends wrong masking"
		}
		e.run()
	}
	status, err := ask(base + "/getCaseStatus?case=1&agent=a")
	require.NoError(t, err)
	require.JSONEq(t, `{"behavior": "OK", "behaviorClose": "OK"}`, string(status))
	status, err = ask(base + "/getCaseStatus?case=2&agent=a")
	require.NoError(t, err)
	require.JSONEq(t, `{"behavior": "FAILED", "behaviorClose": "UNCLEAN"}`, string(status))

	_, err = ask(base + "/updateReports?agent=a")
	require.NoError(t, err)
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var agents map[string]map[string]map[string]any
	require.NoError(t, json.Unmarshal(index, &agents))
	require.Equal(t, "OK", agents["a"]["1.1.2"]["behavior"])
	require.FileExists(t, filepath.Join(dir, agents["a"]["2.1"]["reportfile"].(string)))
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	_, base := serve(t, conformance.Config{Cases: []string{"2.1"}})
	for _, path := range []string{"/", "/runCase", "/runCase?case=2", "/runCase?case=0", "/getCaseInfo?case=x", "/getCaseStatus?case=9"} {
		_, err := dial(base+path, "", false)
		require.ErrorContains(t, err, "400", path)
	}
	response, err := http.Get("http" + base[len("ws"):] + "/getCaseCount")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusBadRequest, response.StatusCode, "not a WebSocket handshake")
}

func TestServerReportsABadHandshake(t *testing.T) {
	t.Parallel()
	server, base := serve(t, conformance.Config{Cases: []string{"2.1"}})
	response, err := http.Get("http" + base[len("ws"):] + "/runCase?case=1&agent=a")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	r := server.Report()["a"]["2.1"]
	require.Equal(t, conformance.Failed, r.Behavior)
	require.Contains(t, r.Result, "opening handshake")
}

func TestServerWithoutCases(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := conformance.NewServer(conformance.Config{Cases: []string{"99.*"}})
	require.EqualError(t, server.Serve(listener), `conformance: no case is called "99.*"`)
	server.Close()
}
