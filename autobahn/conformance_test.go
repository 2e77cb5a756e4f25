package autobahn_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/autobahn/internal/endpoint"
	"github.com/duplexkit/websocket/autobahn/internal/playflag"
	"github.com/duplexkit/websocket/autobahn/internal/results"
	"github.com/duplexkit/websocket/internal/conformance"
)

// quick are the cases that take seconds: sections 1 to 7 and 10, and the own
// ones beyond them.
var quick = []string{"1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "20.*", "21.*", "22.*"}

// all are the suite's cases and the own ones.
var all = append([]string{"9.*", "12.*", "13.*"}, quick...)

// patience is how long the fuzzing peer waits while nothing moves. It is not
// spent where all is well.
const patience = 30 * time.Second

// parallel is how many cases are played against a server side by side, so that
// one which mixes up two connections is found out. The cases of section 9 move
// much and have a connection for themselves. A client plays one after the other.
const parallel = 4

// TestConformance plays the suite's cases against the endpoints over every read
// path, with the fuzzing peer of this project in the place of the suite.
func TestConformance(t *testing.T) {
	for _, read := range endpoint.Paths {
		config := endpoint.Default
		config.Read = read
		play(t, read, config, conformance.Config{})
	}
}

// TestConformanceHTTP2 plays the same cases over HTTP/2 (RFC 8441), without TLS and
// with it. All cases of an endpoint are streams of one connection.
func TestConformanceHTTP2(t *testing.T) {
	for _, read := range endpoint.Paths {
		config := endpoint.Default
		config.Read, config.HTTP2 = read, true
		play(t, "http2-"+read, config, conformance.Config{HTTP2: true})
	}
	server, client := certificate(t)
	config := endpoint.Default
	config.HTTP2, config.TLS = true, server
	play(t, "http2-tls", config, conformance.Config{HTTP2: true, TLS: client})
}

// certificate makes TLS configurations of a server and a client that trusts it.
func certificate(t *testing.T) (server, client *tls.Config) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

// play plays what the flags say against the server and the client, and keeps the
// reports by this name. TLS of the peer is what the endpoint's is when their parts
// are exchanged.
func play(t *testing.T, name string, config endpoint.Config, line conformance.Config) {
	peer := conformance.Config{
		Agent: name, Cases: quick, Timeout: patience, Messages: cmp.Or(*playflag.Messages, 20), HTTP2: line.HTTP2, TLS: line.TLS,
	}
	switch {
	case *playflag.Cases != "":
		peer.Cases = strings.Split(*playflag.Cases, ",")
	case *playflag.Full:
		peer.Cases, peer.Messages = all, *playflag.Messages
	case *playflag.All:
		peer.Cases = all
	}
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(cmp.Or(*playflag.Report, t.TempDir()), name)
		t.Run("server", func(t *testing.T) {
			t.Parallel()
			peer := peer
			peer.Dir = filepath.Join(dir, "servers")
			testServer(t, config, peer, cases(t, conformance.Client, peer.Cases))
			judge(t, results.Server, peer)
		})
		t.Run("client", func(t *testing.T) {
			t.Parallel()
			peer, config := peer, config
			peer.TLS, config.TLS = config.TLS, peer.TLS
			peer.Dir = filepath.Join(dir, "clients")
			cases(t, conformance.Server, peer.Cases)
			testClient(t, config, peer)
			judge(t, results.Client, peer)
		})
	})
}

// cases are those that the peer has in its role. Some exist in one role only:
// the test is skipped if none is left, and fails if a pattern fits no case at all.
func cases(t *testing.T, peer conformance.Role, patterns []string) []conformance.Case {
	chosen, err := conformance.Cases(peer, patterns...)
	require.NoError(t, err)
	if len(chosen) == 0 {
		t.Skip("these cases exist in the other role only, where they run")
	}
	return chosen
}

// testServer plays against the server.
func testServer(t *testing.T, config endpoint.Config, play conformance.Config, cases []conformance.Case) {
	ln := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- config.Serve(ctx, ln) }()
	var light, heavy []string
	for _, c := range cases {
		if c.Section() == 9 {
			heavy = append(heavy, c.ID)
		} else {
			light = append(light, c.ID)
		}
	}
	report := conformance.Report{play.Agent: {}}
	for _, part := range []conformance.Config{{Cases: light, Parallel: parallel}, {Cases: heavy}} {
		if len(part.Cases) == 0 {
			continue // to the peer, no pattern is every case
		}
		part.URL, part.Agent = "ws://"+ln.Addr().String(), play.Agent
		part.Messages, part.Timeout, part.HTTP2, part.TLS = play.Messages, play.Timeout, play.HTTP2, play.TLS
		played, err := conformance.RunClient(t.Context(), part)
		require.NoError(t, err)
		maps.Copy(report[play.Agent], played[play.Agent])
	}
	for i, c := range cases {
		report[play.Agent][c.ID].Case = i + 1
	}
	require.NoError(t, report.Write(play.Dir))
	cancel()
	require.NoError(t, <-served)
}

// testClient plays against the client.
func testClient(t *testing.T, config endpoint.Config, play conformance.Config) {
	ln := listen(t)
	server := conformance.NewServer(play)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	defer server.Close()
	scheme := "ws"
	if config.TLS != nil {
		scheme = "wss"
	}
	client := endpoint.Client{Config: config, URL: scheme + "://" + ln.Addr().String(), Agent: play.Agent, Log: log.New(t.Output(), "", 0)}
	require.NoError(t, client.Run(t.Context()))
	server.Close()
	require.NoError(t, <-served)
}

// judge holds the reports to the same measure as those of the suite.
func judge(t *testing.T, role results.Role, play conformance.Config) {
	runs, err := results.Load(play.Dir)
	require.NoError(t, err)
	demand := results.Demand{Roles: []results.Role{role}, Cases: play.Cases}
	summary, err := results.Judge(runs, demand)
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, summary.Text(&text))
	t.Logf("\n%s", text.String())
	require.Zero(t, len(summary.Problems), "cases that are not as they should be")
}

func listen(t *testing.T) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return ln
}

// Some cases exist in one role only, which is no fault of the other role's endpoint.
func TestConformanceOfOneRole(t *testing.T) {
	play := func(patterns string) (output string, err error) {
		self, err := os.Executable()
		require.NoError(t, err)
		out, err := exec.Command(self, "-test.v", "-test.run=^TestConformance$/^messages$", "-conformance.cases="+patterns).CombinedOutput()
		return string(out), err
	}
	output, err := play("21.1.*")
	require.NoError(t, err, output)
	require.Contains(t, output, "--- PASS: TestConformance/messages/server")
	require.Contains(t, output, "--- SKIP: TestConformance/messages/client")
	output, err = play("21.2.*")
	require.NoError(t, err, output)
	require.Contains(t, output, "--- SKIP: TestConformance/messages/server")
	require.Contains(t, output, "--- PASS: TestConformance/messages/client")
	output, err = play("8.*")
	require.Error(t, err, output)
}
