package http2

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigure(t *testing.T) {
	var s http.Server
	Configure(&s)
	require.Equal(t, 64<<10, s.HTTP2.MaxReceiveBufferPerStream)
	require.Equal(t, 1<<20, s.HTTP2.MaxReceiveBufferPerConnection)

	s = http.Server{HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 100_000, MaxConcurrentStreams: 7}}
	Configure(&s)
	require.Equal(t, 100_000, s.HTTP2.MaxReceiveBufferPerStream)
	require.Equal(t, 1<<20, s.HTTP2.MaxReceiveBufferPerConnection)
	require.Equal(t, 7, s.HTTP2.MaxConcurrentStreams)

	s = http.Server{HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: 3 << 20}}
	Configure(&s)
	require.Equal(t, 64<<10, s.HTTP2.MaxReceiveBufferPerStream)
	require.Equal(t, 3<<20, s.HTTP2.MaxReceiveBufferPerConnection)
}

// A later version of Go has a field for it.
func TestEnableConnect(t *testing.T) {
	later := struct {
		MaxConcurrentStreams  int
		EnableConnectProtocol bool
	}{MaxConcurrentStreams: 7}
	enableConnect(&later)
	require.True(t, later.EnableConnectProtocol)
	require.Equal(t, 7, later.MaxConcurrentStreams)

	other := struct{ EnableConnectProtocol string }{"as it is"}
	enableConnect(&other)
	require.Equal(t, "as it is", other.EnableConnectProtocol)
	enableConnect(&struct{}{})
}

// Whoever runs the program decides by GODEBUG; the import decides if nobody has. A child
// process tells what net/http makes of it.
func TestImportTurnsItOn(t *testing.T) {
	const asked = "HTTP2_TEST_ASKED"
	if os.Getenv(asked) != "" {
		announced := serverAnnounces(t)
		os.Stdout.WriteString("GODEBUG=" + os.Getenv("GODEBUG") + "\n")
		if announced {
			os.Stdout.WriteString("announced\n")
		}
		return
	}
	for _, test := range []struct {
		name, before, after string
		announced           bool
	}{
		{"nothing set", "", "http2xconnect=1", true},
		{"something else set", "netdns=go", "netdns=go,http2xconnect=1", true},
		{"turned off", "http2xconnect=0", "http2xconnect=0", false},
		{"turned on", "http2xconnect=1,netdns=go", "http2xconnect=1,netdns=go", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			self, err := os.Executable()
			require.NoError(t, err)
			child := exec.Command(self, "-test.run=^TestImportTurnsItOn$")
			child.Env = append(os.Environ(), asked+"=1", "GODEBUG="+test.before)
			out, err := child.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "GODEBUG="+test.after+"\n")
			require.Equal(t, test.announced, strings.Contains(string(out), "announced\n"), "%s", out)
		})
	}
}
