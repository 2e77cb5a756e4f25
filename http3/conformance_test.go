package http3

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/conformance"
)

// The fuzzing peer speaks HTTP/1.1. A gateway between it and the endpoint hands bytes on,
// the end of a direction as its end and a reset as a reset, as gateways between the two
// versions of HTTP do.

// sections are those that do not take minutes.
var sections = []string{"1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "20.*"}

// terms compress every message that gets smaller.
var terms = websocket.Options{ReadLimit: 16 << 20, Compression: &websocket.Compression{}}

func TestConformanceOfServer(t *testing.T) {
	s := serve(t, echo(&websocket.Upgrader{Options: terms}))
	tr := transport(t)
	url := gateway(t, func(nc *net.TCPConn, br *bufio.Reader, r *http.Request) error {
		body, w := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req := request(t, s, body).WithContext(ctx)
		copyFields(req.Header, r.Header)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		answer := http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])},
		}}
		copyFields(answer.Header, resp.Header)
		if err := answer.Write(nc); err != nil {
			return err
		}
		splice(nc, br, resp.Body, w, func(err error) { w.CloseWithError(err) })
		return nil
	})
	judge(t, conformance.Client, func(config conformance.Config) conformance.Report {
		config.URL, config.Agent, config.Parallel = url, "http3", 4
		report, err := conformance.RunClient(t.Context(), config)
		require.NoError(t, err)
		return report
	})
}

func TestConformanceOfClient(t *testing.T) {
	judge(t, conformance.Server, func(config conformance.Config) conformance.Report {
		peer := conformance.NewServer(config)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- peer.Serve(ln) }()
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := toTCP(w, r, ln.Addr().String()); err != nil {
				t.Error(err)
			}
		}))
		d := &websocket.Dialer{Transport: transport(t), Options: terms}
		ask := func(path string) []byte {
			c := dial(t, d, strings.TrimSuffix(s.url, "/")+path)
			_, p, err := c.ReadMessage()
			require.NoError(t, err)
			require.NoError(t, c.Close())
			return p
		}
		var count int
		require.NoError(t, json.Unmarshal(ask("/getCaseCount"), &count))
		for i := range count {
			c, _, err := d.Dial(fmt.Sprintf("%srunCase?case=%d&agent=http3", s.url, i+1), nil)
			require.NoError(t, err)
			_ = c.Serve(t.Context(), func(m websocket.Message) error { return c.WriteMessage(m.Type, m.Data) })
			receive(t, c.Context().Done())
		}
		report := peer.Report()
		peer.Close()
		require.NoError(t, <-served)
		return report
	})
}

// toTCP takes an extended CONNECT on to a server of HTTP/1.1.
func toTCP(w http.ResponseWriter, r *http.Request, addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	nc := conn.(*net.TCPConn)
	defer nc.Close()
	req := &http.Request{Method: http.MethodGet, URL: r.URL, Host: r.Host, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}}
	copyFields(req.Header, r.Header)
	if err := req.Write(nc); err != nil {
		return err
	}
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return err
	}
	copyFields(w.Header(), resp.Header)
	w.WriteHeader(http.StatusOK)
	str, err := w.(http3.HTTPStreamer).HTTPStream()
	if err != nil {
		return err
	}
	splice(nc, br, str, str, func(error) { str.CancelWrite(0x010c) })
	str.CancelRead(0x010c)
	return nil
}

// copyFields copies what the two ends say of extensions.
func copyFields(to, from http.Header) {
	if vs := from.Values("Sec-WebSocket-Extensions"); len(vs) > 0 {
		to["Sec-Websocket-Extensions"] = vs
	}
}

// splice copies both ways until both are over. reset ends out so that nobody takes it for
// a clean end.
func splice(nc *net.TCPConn, br io.Reader, in io.Reader, out io.WriteCloser, reset func(error)) {
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := io.Copy(out, br); err != nil {
			reset(err)
			return
		}
		out.Close()
	})
	both.Go(func() {
		if _, err := io.Copy(nc, in); err != nil {
			nc.SetLinger(0) // resets
			nc.Close()
			return
		}
		nc.CloseWrite()
	})
	both.Wait()
}

// gateway takes connections for f, which has the request, and returns its URL.
func gateway(t *testing.T, f func(nc *net.TCPConn, br *bufio.Reader, r *http.Request) error) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer nc.Close()
				br := bufio.NewReader(nc)
				r, err := http.ReadRequest(br)
				if err == nil {
					err = f(nc.(*net.TCPConn), br, r)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return "ws://" + ln.Addr().String() + "/"
}

// judge has the cases played and wants all of them, each passed.
func judge(t *testing.T, role conformance.Role, play func(config conformance.Config) conformance.Report) {
	t.Helper()
	cases, err := conformance.Cases(role, sections...)
	require.NoError(t, err)
	results := play(conformance.Config{Cases: sections, Timeout: patience})["http3"]
	require.Len(t, results, len(cases))
	for _, c := range cases {
		r := results[c.ID]
		if !r.Passed() {
			t.Errorf("%s, %s: %s, close %s\n%+v", c.ID, c.Description, r.Behavior, r.BehaviorClose, r)
		}
	}
}
