package conformance_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/conformance"
)

func TestRunClientReportsWhatKeepsItFromPlaying(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://127.0.0.1/", "wss://127.0.0.1/", "ws:///x", ":"} {
		_, err := conformance.RunClient(t.Context(), conformance.Config{URL: url})
		require.Error(t, err, url)
	}
	_, err := conformance.RunClient(t.Context(), conformance.Config{URL: "ws://127.0.0.1/", Cases: []string{"0.1"}})
	require.Error(t, err)

	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	report, err := conformance.RunClient(ctx, conformance.Config{URL: "ws://127.0.0.1:1/", Cases: []string{"1.*"}})
	require.ErrorIs(t, err, cause)
	require.Empty(t, report["server"])
}

func TestRunClientCountsWhatItCannotReach(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	dir := t.TempDir()
	report, err := conformance.RunClient(t.Context(), conformance.Config{URL: "ws://" + listener.Addr().String(), Cases: []string{"1.1.*"}, Agent: "gone", Dir: dir})
	require.NoError(t, err)
	require.Len(t, report["gone"], 8, "no case is missing from the report")
	require.Equal(t, conformance.Failed, report["gone"]["1.1.1"].Behavior)
	require.FileExists(t, filepath.Join(dir, "index.json"))
}
