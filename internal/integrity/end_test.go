package integrity

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/internal/wstest"
)

// The peers in this file are scripted: what they send is not the library's doing.

// lastWords are the sizes of messages that are sent at once, before an end or behind a handshake. There are empty ones, the last among
// them, and more than any buffer holds.
var lastWords = map[string][]int{
	"few":      {0, 30, 125, 0, 126, 3, 0},
	"many":     {300, 0, 5000, 16_384, 126, 65_535, 0, 65_536, 27, 0, 0},
	"one":      {700},
	"an empty": {0},
}

// frames are the messages of a plan, compressed or not, one frame each.
func frames(t testing.TB, p *plan, compressed bool) (all []wstest.Frame) {
	for seq := range p.count {
		messageType, data := p.message(nil, seq)
		f := wstest.Frame{Opcode: byte(messageType), Payload: string(data)}
		if compressed {
			f.RSV, f.Payload = 4, deflate(t, data)
		}
		all = append(all, f)
	}
	return all
}

// deflate compresses a message as RFC 7692, section 7.2.1 has it, without context.
func deflate(t testing.TB, p []byte) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	require.NoError(t, err)
	_, err = w.Write(p)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	return string(bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff}))
}

// encode is the frames in one piece, as the peer sends them.
func encode(fromServer bool, all []wstest.Frame) (b []byte) {
	for _, f := range all {
		if fromServer {
			b = append(b, f.Unmasked()...)
		} else {
			b = append(b, f.Masked()...)
		}
	}
	return b
}

// forEachReading runs a test with each way to read, at either end, over each transport, uncompressed and compressed.
func forEachReading(t *testing.T, test func(t *testing.T, tr transport, fromServer, compressed bool, rd reading)) {
	for _, rd := range readings {
		for _, tr := range transports {
			t.Run(rd.name+" over "+tr.name, func(t *testing.T) {
				t.Parallel()
				for _, fromServer := range []bool{false, true} {
					for _, compressed := range []bool{false, true} {
						test(t, tr, fromServer, compressed, rd)
					}
				}
			})
		}
	}
}

// scripted returns a connection and the end of it that a test plays; fromServer says that this is the server's.
func scripted(t testing.TB, tr transport, fromServer, compressed bool) (*websocket.Conn, net.Conn) {
	t.Helper()
	ours, theirs := tr.link(t)
	if !fromServer {
		ours, theirs = theirs, ours
	}
	n := websocket.Negotiated{Server: !fromServer}
	if compressed {
		n.Compression = &websocket.Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}
	}
	c := websocket.NewConn(ours, n, websocket.Options{})
	t.Cleanup(func() { c.Close() })
	return c, theirs
}

// say sends b at once and then, if it is to end, the end of the stream. What comes is read meanwhile.
func say(nc net.Conn, b []byte, end bool) {
	go func() {
		_, err := nc.Write(b)
		half, ok := nc.(interface{ CloseWrite() error })
		switch {
		case !end || err != nil: // who wanted to read it says what is missing
		case ok:
			_ = half.CloseWrite()
		default:
			_ = nc.Close()
		}
	}()
	go func() { _, _ = io.Copy(io.Discard, nc) }()
}

// Messages before the end of the stream, or before a close frame, are all delivered.
func TestEnds(t *testing.T) {
	t.Parallel()
	closing := wstest.CloseFrame(websocket.CloseNormalClosure, "that is all")
	forEachReading(t, func(t *testing.T, tr transport, fromServer, compressed bool, rd reading) {
		for name, sizes := range lastWords {
			for _, end := range []string{"FIN", "close frame", "close frame and FIN"} {
				about := fmt.Sprintf("%s, %s; from the server: %v, compressed: %v", name, end, fromServer, compressed)
				c, peer := scripted(t, tr, fromServer, compressed)
				p := listed(rd.kind, sizes)
				r := &receiver{c: c, v: newVerifier(p), rnd: random(1)}
				all := frames(t, p, compressed)
				if end != "FIN" {
					all = append(all, closing)
				}
				say(peer, encode(fromServer, all), end != "close frame")
				err := rd.read(r)
				if end == "FIN" {
					require.True(t, websocket.IsCloseError(err, websocket.CloseAbnormalClosure), "%s: %v", about, err)
					require.NoError(t, r.v.complete(), about)
				} else {
					require.NoError(t, rd.judge(r, err), about)
				}
				c.Close()
				peer.Close()
			}
		}
	})
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3

// Messages glued to the 101 are delivered by Dial's connection.
func TestGluedToAnswer(t *testing.T) {
	t.Parallel()
	forEachReading(t, func(t *testing.T, tr transport, fromServer, compressed bool, rd reading) {
		if !fromServer {
			return // clients send no answers
		}
		for name, sizes := range lastWords {
			p := listed(rd.kind, sizes)
			glued := append(frames(t, p, compressed), wstest.CloseFrame(websocket.CloseNormalClosure, ""))
			ours, peer := tr.link(t)
			go func() {
				req, err := http.ReadRequest(bufio.NewReader(peer))
				if err != nil {
					peer.Close() // which fails the Dial
					return
				}
				sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + acceptGUID))
				answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
					"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
				if compressed {
					answer += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
				}
				say(peer, append([]byte(answer+"\r\n"), encode(true, glued)...), true)
			}()
			tm := terms{transport: tr, mode: mode{enable: compressed}}
			c, _, err := tm.dialer(ours).Dial(tm.url(), nil)
			require.NoError(t, err)
			r := &receiver{c: c, v: newVerifier(p), rnd: random(1)}
			require.NoError(t, rd.judge(r, rd.read(r)), "%s, compressed: %v", name, compressed)
			c.Close()
			peer.Close()
		}
	})
}

// gluedRequest is an opening handshake with all that follows it.
func gluedRequest(t testing.TB, p *plan, compressed bool) []byte {
	request := "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if compressed {
		request += "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
	}
	glued := append(frames(t, p, compressed), wstest.CloseFrame(websocket.CloseNormalClosure, ""))
	return append([]byte(request+"\r\n"), encode(false, glued)...)
}

// Messages glued to the request are delivered by UpgradeConn's connection.
func TestGluedToRequest(t *testing.T) {
	t.Parallel()
	forEachReading(t, func(t *testing.T, tr transport, fromServer, compressed bool, rd reading) {
		if fromServer {
			return // servers send no requests
		}
		for name, sizes := range lastWords {
			p := listed(rd.kind, sizes)
			peer, ours := tr.link(t)
			say(peer, gluedRequest(t, p, compressed), tr.name != "pipe") // which can't end in one direction only
			c, _, err := terms{mode: mode{enable: compressed}}.upgrader().UpgradeConn(ours)
			require.NoError(t, err)
			r := &receiver{c: c, v: newVerifier(p), rnd: random(1)}
			require.NoError(t, rd.judge(r, rd.read(r)), "%s, compressed: %v", name, compressed)
			c.Close()
			peer.Close()
		}
	})
}

// And they are by that of Upgrade, which has to take them from net/http.
func TestGluedToRequestOverHTTP(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for _, rd := range readings {
			t.Run(fmt.Sprintf("%s, TLS %v", rd.name, secure), func(t *testing.T) {
				t.Parallel()
				for name, sizes := range lastWords {
					for _, compressed := range []bool{false, true} {
						p := listed(rd.kind, sizes)
						verdict := make(chan error, 1)
						upgrader := terms{mode: mode{enable: compressed}}.upgrader()
						server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							c, err := upgrader.Upgrade(w, r, nil)
							if err != nil {
								verdict <- err
								return
							}
							defer c.Close()
							rc := &receiver{c: c, v: newVerifier(p), rnd: random(1)}
							verdict <- rd.judge(rc, rd.read(rc))
						}))
						dial := func() (net.Conn, error) { return net.Dial("tcp", server.Listener.Addr().String()) }
						if secure {
							server.StartTLS()
							dial = func() (net.Conn, error) {
								return tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
							}
						} else {
							server.Start()
						}
						peer, err := dial()
						require.NoError(t, err)
						say(peer, gluedRequest(t, p, compressed), false)
						require.NoError(t, <-verdict, "%s, compressed: %v", name, compressed)
						peer.Close()
						server.Close()
					}
				}
			})
		}
	}
}

// A message that is cut off is not delivered as a whole, wherever the cut is: the stream ends, or a close frame comes between fragments.
func TestCutOff(t *testing.T) {
	t.Parallel()
	pipe := transports[2]
	ta := &tally{began: time.Now()}
	t.Cleanup(func() { ta.report(t) })
	for _, rd := range readings {
		t.Run(rd.name, func(t *testing.T) {
			t.Parallel()
			for _, fromServer := range []bool{false, true} {
				for _, compressed := range []bool{false, true} {
					for _, parts := range []int{1, 3} {
						p := listed(rd.kind, []int{40, 3, 250})
						all := frames(t, p, compressed)
						before, last := encode(fromServer, all[:2]), fragments(all[2], parts)
						wire := encode(fromServer, last)
						for cut := range len(wire) {
							testCut(t, ta, pipe, fromServer, compressed, rd, p, append(before[:len(before):len(before)], wire[:cut]...))
						}
						for n := 1; n < len(last); n++ {
							said := append(last[:n:n], wstest.CloseFrame(websocket.CloseNormalClosure, "enough"))
							testCut(t, ta, pipe, fromServer, compressed, rd, p, append(before[:len(before):len(before)], encode(fromServer, said)...))
						}
					}
				}
			}
		})
	}
}

// fragments cuts a frame into parts and adds an empty fragment to them, if there are to be several.
func fragments(f wstest.Frame, parts int) (all []wstest.Frame) {
	if parts == 1 {
		return []wstest.Frame{f}
	}
	for i := range parts {
		part := wstest.Frame{More: true, Payload: f.Payload[len(f.Payload)*i/parts : len(f.Payload)*(i+1)/parts]}
		if i == 0 {
			part.Opcode, part.RSV = f.Opcode, f.RSV
		}
		all = append(all, part)
	}
	return append(all, wstest.Frame{})
}

func testCut(t *testing.T, ta *tally, tr transport, fromServer, compressed bool, rd reading, p *plan, wire []byte) {
	t.Helper()
	c, peer := scripted(t, tr, fromServer, compressed)
	r := &receiver{c: c, v: newVerifier(p), rnd: random(uint64(len(wire)))}
	say(peer, wire, true)
	err := rd.read(r)
	about := fmt.Sprintf("%d bytes; from the server: %v, compressed: %v: %v", len(wire), fromServer, compressed, err)
	require.Error(t, err, about)
	require.NotEqual(t, io.EOF, err, about)
	if rd.name == streamRead.name { // it has no borders: all bytes of a message may come before its end
		require.GreaterOrEqual(t, r.v.messages, p.count-1, about)
	} else {
		require.Equal(t, p.count-1, r.v.messages, about)
	}
	c.Close()
	peer.Close()
	ta.add(r.v)
}
