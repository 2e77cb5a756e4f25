//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"net/http"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// gobwas/ws, which is at its best without net/http.

func gobwas(serve func(net.Conn)) func(net.Listener) error {
	return eachConn(func(nc net.Conn) {
		if _, err := ws.Upgrade(nc); err == nil {
			serve(nc)
		}
	})
}

func gobwasEcho(l net.Listener) error { return gobwas(gobwasEchoes)(l) }
func gobwasDrop(l net.Listener) error { return gobwas(func(net.Conn) {})(l) }

func gobwasEchoes(nc net.Conn) {
	for {
		p, opcode, err := wsutil.ReadClientData(nc)
		if err != nil {
			return
		}
		if err := wsutil.WriteServerMessage(nc, opcode, p); err != nil {
			return
		}
	}
}

func gobwasHTTP(serve func(net.Conn)) func(net.Listener) error {
	return httpServer(func(w http.ResponseWriter, r *http.Request) {
		if nc, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
			serve(nc)
		}
	})
}

func gobwasHTTPEchoReturned(l net.Listener) error {
	return gobwasHTTP(func(nc net.Conn) { go gobwasEchoes(nc) })(l)
}

func gobwasHTTPDrop(l net.Listener) error { return gobwasHTTP(func(nc net.Conn) { nc.Close() })(l) }

func gobwasClientEcho(addr string) error {
	nc, early, _, err := ws.Dial(context.Background(), "ws://"+addr)
	if err != nil {
		return err
	}
	from := io.Reader(nc)
	if early != nil { // came right behind the handshake
		from = io.MultiReader(io.LimitReader(early, int64(early.Buffered())), nc)
	}
	for {
		p, opcode, err := wsutil.ReadServerData(struct {
			io.Reader
			io.Writer
		}{from, nc})
		if err != nil {
			return err
		}
		if err := wsutil.WriteClientMessage(nc, opcode, p); err != nil {
			return err
		}
	}
}

type gobwasConn struct {
	net.Conn
	client bool
}

func (c gobwasConn) write(p []byte) error {
	if c.client {
		return wsutil.WriteClientBinary(c, p)
	}
	return wsutil.WriteServerBinary(c, p)
}

func gobwasPush(l net.Listener, with func(conn)) error {
	return gobwas(func(nc net.Conn) {
		with(gobwasConn{nc, false})
		wsutil.ReadClientData(nc)
	})(l)
}

func gobwasDial(addr string) (conn, error) {
	nc, _, _, err := ws.Dial(context.Background(), "ws://"+addr)
	return gobwasConn{nc, true}, err
}

// gobwasPrepared writes a frame made once.
func gobwasPrepared(conns []conn) func([]byte) error {
	return func(p []byte) error {
		frame, err := ws.CompileFrame(ws.NewBinaryFrame(p))
		if err != nil {
			return err
		}
		for _, c := range conns {
			if _, err := c.(gobwasConn).Write(frame); err != nil {
				return err
			}
		}
		return nil
	}
}

func gobwasRead(l net.Listener, got func([]byte)) error {
	return gobwas(func(nc net.Conn) {
		for {
			p, _, err := wsutil.ReadClientData(nc)
			if err != nil {
				return
			}
			got(p)
		}
	})(l)
}

func gobwasReadKept(l net.Listener, got func([]byte)) error {
	return gobwas(func(nc net.Conn) {
		var kept []byte
		r := wsutil.Reader{Source: nc, State: ws.StateServerSide}
		for {
			h, err := r.NextFrame()
			if err != nil {
				return
			}
			if h.Length > int64(cap(kept)) {
				kept = make([]byte, h.Length)
			}
			kept = kept[:h.Length]
			if _, err := io.ReadFull(&r, kept); err != nil {
				return
			}
			got(kept)
		}
	})(l)
}
