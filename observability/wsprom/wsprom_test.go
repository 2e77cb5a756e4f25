package wsprom_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/observability/internal/scenario"
	"github.com/duplexkit/websocket/observability/wsprom"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := wsprom.New(reg)
	require.NoError(t, err)
	scenario.Run(t, t.Context(), m.Server(), m.Client(), func() {
		require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP websocket_connections Connections that are open.
# TYPE websocket_connections gauge
websocket_connections{role="client"} 1
websocket_connections{role="server"} 1
`), "websocket_connections"))
	})
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP websocket_handshakes_total Opening handshakes.
# TYPE websocket_handshakes_total counter
websocket_handshakes_total{outcome="failed",role="client"} 1
websocket_handshakes_total{outcome="opened",role="client"} 1
websocket_handshakes_total{outcome="opened",role="server"} 1
websocket_handshakes_total{outcome="refused",role="client"} 1
websocket_handshakes_total{outcome="refused",role="server"} 1
# HELP websocket_connections Connections that are open.
# TYPE websocket_connections gauge
websocket_connections{role="client"} 0
websocket_connections{role="server"} 0
# HELP websocket_messages_total Messages.
# TYPE websocket_messages_total counter
websocket_messages_total{direction="read",role="client",type="binary"} 1
websocket_messages_total{direction="read",role="client",type="text"} 1
websocket_messages_total{direction="read",role="server",type="binary"} 1
websocket_messages_total{direction="read",role="server",type="text"} 1
websocket_messages_total{direction="written",role="client",type="binary"} 1
websocket_messages_total{direction="written",role="client",type="text"} 1
websocket_messages_total{direction="written",role="server",type="binary"} 1
websocket_messages_total{direction="written",role="server",type="text"} 1
# HELP websocket_closes_total Connections that have ended.
# TYPE websocket_closes_total counter
websocket_closes_total{by="peer",code="1000",role="server"} 1
websocket_closes_total{by="us",code="1000",role="client"} 1
# HELP websocket_dropped_messages_total Messages that were dropped for peers that read too slowly.
# TYPE websocket_dropped_messages_total counter
websocket_dropped_messages_total{role="client"} 0
websocket_dropped_messages_total{role="server"} 0
`), "websocket_handshakes_total", "websocket_connections", "websocket_messages_total", "websocket_closes_total", "websocket_dropped_messages_total"))

	sums := make(map[string]float64)
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, metric := range family.Metric {
			name := family.GetName()
			for _, label := range metric.Label {
				name += " " + label.GetValue()
			}
			if h := metric.GetHistogram(); h != nil {
				sums[name] = h.GetSampleSum()
				sums[name+" count"] = float64(h.GetSampleCount())
			} else {
				sums[name] = metric.GetCounter().GetValue()
			}
		}
	}
	for _, role := range []string{"client", "server"} {
		for _, direction := range []string{"read", "written"} {
			require.Equal(t, 5.0+scenario.Size, sums["websocket_message_size_bytes "+direction+" "+role])
			require.Equal(t, 2.0, sums["websocket_message_wait_seconds "+direction+" "+role+" count"])
			wire := sums["websocket_wire_bytes_total "+direction+" "+role]
			require.Greater(t, wire, 7.0)
			require.Less(t, wire, scenario.Size/10.0) // zeros, compressed
			require.Equal(t, 1.0, sums["websocket_frames_total "+direction+" close "+role])
			require.Equal(t, 1.0, sums["websocket_frames_total "+direction+" text "+role])
		}
	}
	require.Equal(t, 1.0, sums["websocket_frames_total written ping client"])
	require.Equal(t, 1.0, sums["websocket_frames_total written pong server"])
	require.Equal(t, 1.0, sums["websocket_ping_duration_seconds client count"])
	require.Equal(t, 3.0, sums["websocket_handshake_duration_seconds client count"])

	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// Two sets of metrics need two names, or a label.
func TestRegisteredTwice(t *testing.T) {
	reg := prometheus.NewRegistry()
	_, err := wsprom.New(reg)
	require.NoError(t, err)
	_, err = wsprom.New(reg)
	var already prometheus.AlreadyRegisteredError
	require.ErrorAs(t, err, &already)
	for _, endpoint := range []string{"chat", "news"} {
		_, err = wsprom.New(prometheus.WrapRegistererWith(prometheus.Labels{"endpoint": endpoint}, prometheus.NewRegistry()))
		require.NoError(t, err)
	}
	// What fails leaves nothing behind.
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "websocket_connections"}, []string{"other"}))
	for range 2 {
		_, err = wsprom.New(taken)
		require.ErrorContains(t, err, "websocket_connections")
		require.NotErrorAs(t, err, &already)
	}
}

// Codes of the peer's choice do not make metrics without end.
func TestCloseCodes(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := wsprom.New(reg)
	require.NoError(t, err)
	closed := m.Server().Closed
	for code := 1000; code < 5000; code++ {
		closed(new(websocket.Conn), websocket.CloseInfo{By: websocket.EndedByPeer, Code: code})
	}
	n, err := testutil.GatherAndCount(reg, "websocket_closes_total")
	require.NoError(t, err)
	require.Equal(t, 17, n)
}

// The dashboard asks for metrics that there are, and for all of them.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	require.True(t, json.Valid(b))
	asked := make(map[string]bool)
	for _, name := range regexp.MustCompile(`websocket_[a-z_]+`).FindAllString(string(b), -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		asked[name] = true
	}
	reg := prometheus.NewRegistry()
	m, err := wsprom.New(reg)
	require.NoError(t, err)
	scenario.Run(t, t.Context(), m.Server(), m.Client(), func() {})
	families, err := reg.Gather()
	require.NoError(t, err)
	there := make(map[string]bool)
	for _, family := range families {
		there[family.GetName()] = true
	}
	require.Equal(t, there, asked)
}
