package h2wire

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/duplexkit/websocket/internal/wstest"
)

const patience = 30 * time.Second

// joined is two ends of a connection.
func joined(t *testing.T, ofClient, ofServer Config) (client, server *Conn) {
	clientEnd, serverEnd := wstest.TCP(t)
	begun := make(chan error, 1)
	go func() {
		var err error
		server, err = NewServer(serverEnd, ofServer)
		begun <- err
	}()
	client, err := NewClient(clientEnd, ofClient)
	require.NoError(t, err)
	require.NoError(t, <-begun)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	settings, err := client.Settings(patience)
	require.NoError(t, err)
	for _, s := range ofServer.Settings {
		require.Equal(t, s.Val, settings[s.ID])
	}
	return client, server
}

// streams is the two ends of a stream.
func streams(t *testing.T, ofClient, ofServer Config) (client, server *Stream) {
	c, s := joined(t, ofClient, ofServer)
	client, err := c.OpenSocket("http", "example.com", "/chat", "x-more", "yes")
	require.NoError(t, err)
	server, err = s.Accept(patience)
	require.NoError(t, err)
	require.Equal(t, "websocket", server.Field(":protocol"))
	require.Equal(t, "yes", server.Field("x-more"))
	require.Empty(t, server.Field("x-less"))
	require.NoError(t, server.Respond(false, ":status", "200"))
	fields, err := client.Header(patience)
	require.NoError(t, err)
	require.Len(t, fields, 1)
	return client, server
}

// All that is written comes, however small frames and windows are.
func TestStreams(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]Config{
		"ordinary":      {},
		"cut":           {Cut: 7},
		"padded":        {Pad: 200},
		"small windows": {Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 100}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := streams(t, config, config)
			long := strings.Repeat("0123456789", 20_000)
			for _, ends := range [][2]*Stream{{client, server}, {server, client}} {
				written := make(chan error, 1)
				go func() {
					_, err := io.WriteString(ends[0], long)
					if err == nil {
						err = ends[0].CloseWrite()
					}
					written <- err
				}()
				got, err := io.ReadAll(ends[1])
				require.NoError(t, err)
				require.True(t, long == string(got))
				require.NoError(t, <-written)
				_, err = ends[0].Write([]byte("more"))
				require.ErrorIs(t, err, net.ErrClosed)
			}
			require.NoError(t, client.Close())
			require.NoError(t, client.Close())
		})
	}
}

func TestStreamDeadlines(t *testing.T) {
	t.Parallel()
	client, server := streams(t, Config{}, Config{Hold: true})
	require.NoError(t, client.SetDeadline(time.Now().Add(time.Millisecond)))
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, client.SetDeadline(time.Time{}))
	n, err := client.Write(make([]byte, 65535))
	require.NoError(t, err)
	require.Equal(t, 65535, n)
	require.NoError(t, client.SetWriteDeadline(time.Now().Add(time.Millisecond)))
	_, err = client.Write([]byte("x"))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it grants nothing more")
	require.NoError(t, client.Ping(patience))
	require.Equal(t, 65535, server.Unread())
	require.Equal(t, 4, server.Frames())
}

func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	client, server := streams(t, Config{}, Config{})
	_, err := client.Write([]byte("last"))
	require.NoError(t, err)
	require.NoError(t, client.Close())
	got := make([]byte, 4)
	_, err = io.ReadFull(server, got)
	require.NoError(t, err)
	require.Equal(t, "last", string(got))
	_, err = server.Read(got)
	require.Equal(t, &Reset{http2.ErrCodeCancel}, err)
	require.ErrorContains(t, err, "CANCEL")
	_, err = client.Read(got)
	require.ErrorIs(t, err, net.ErrClosed)

	require.NoError(t, server.Frame(func(fr *http2.Framer) error { return fr.WriteGoAway(1, http2.ErrCodeEnhanceYourCalm, nil) }))
	code, err := client.GoneAway(patience)
	require.NoError(t, err)
	require.Equal(t, http2.ErrCodeEnhanceYourCalm, code)
	require.NoError(t, server.Conn.Close())
	<-client.Over()
	_, err = client.Accept(0)
	require.Error(t, err)
}

func TestNotAPreface(t *testing.T) {
	t.Parallel()
	client, server := wstest.TCP(t)
	_, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
	require.NoError(t, err)
	_, err = NewServer(server, Config{})
	require.ErrorContains(t, err, "preface")
}
