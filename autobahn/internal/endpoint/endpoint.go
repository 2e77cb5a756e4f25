// Package endpoint is what the Autobahn testsuite tests: a server and a client
// that send every message back, over each way that the library has of reading
// and writing.
package endpoint

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/duplexkit/websocket"
)

// readLimit is twice the largest message of the suite, in bytes.
const readLimit = 32 << 20

// Config is what the two endpoints share.
type Config struct {
	Read        string // one of Paths
	Compression bool   // agree on permessage-deflate
	Takeover    bool   // with context takeover

	HTTP2 bool        // speak HTTP/2 (RFC 8441), without TLS unless there is
	TLS   *tls.Config // a configuration for it
}

// Default is the Config without flags.
var Default = Config{Read: Paths[0], Compression: true, Takeover: true}

// Flags defines the flags that set c. Its present values are their defaults.
func (c *Config) Flags(flags *flag.FlagSet) {
	flags.Func("read", "read and write by `path`, one of "+strings.Join(Paths, ", ")+fmt.Sprintf(" (default %s)", c.Read), c.setRead)
	flags.BoolVar(&c.Compression, "compression", c.Compression, "agree on permessage-deflate")
	flags.BoolVar(&c.Takeover, "takeover", c.Takeover, "compress with context takeover")
}

// NoArguments is an error if flags that were parsed have something else behind them.
func NoArguments(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

func (c *Config) setRead(path string) error {
	if !slices.Contains(Paths, path) {
		return fmt.Errorf("not one of %s", strings.Join(Paths, ", "))
	}
	c.Read = path
	return nil
}

// options are the terms of a connection.
func (c Config) options() websocket.Options {
	opts := websocket.Options{ReadLimit: readLimit}
	if c.Compression {
		opts.Compression = &websocket.Compression{
			Threshold:               -1,
			ServerNoContextTakeover: !c.Takeover,
			ClientNoContextTakeover: !c.Takeover,
		}
	}
	return opts
}

// Paths names the ways of reading and writing:
//
//	messages  ReadMessage and WriteMessage
//	stream    NextReader and NextWriter, with io.Copy between them
//	serve     Conn.Serve
//	start     Conn.Start
//	iterate   Conn.Messages
var Paths = []string{"messages", "stream", "serve", "start", "iterate"}

// echo sends every message back until the connection ends, and returns the error
// it ended with. When ctx ends, it takes leave of the peer.
func (c Config) echo(ctx context.Context, conn *websocket.Conn) error {
	stop := context.AfterFunc(ctx, func() {
		conn.Shutdown(context.Background(), websocket.CloseGoingAway, "")
	})
	defer stop()
	switch c.Read {
	case "messages":
		return echoMessages(conn)
	case "stream":
		return echoStream(conn)
	case "serve":
		return conn.Serve(context.Background(), func(m websocket.Message) error {
			return conn.WriteMessage(m.Type, m.Data)
		})
	case "start":
		return echoStarted(conn)
	case "iterate":
		return echoIterated(conn)
	}
	return fmt.Errorf("endpoint: no read path %q", c.Read)
}

func echoMessages(conn *websocket.Conn) error {
	for {
		messageType, p, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, p); err != nil {
			return err
		}
	}
}

// echoStream sends the beginning of a long message back before its end is here.
func echoStream(conn *websocket.Conn) error {
	for {
		messageType, r, err := conn.NextReader()
		if err != nil {
			return err
		}
		w, err := conn.NextWriter(messageType)
		if err != nil {
			return err
		}
		// Where the message breaks off, w stays open: ending it would make the half look whole.
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}

func echoStarted(conn *websocket.Conn) error {
	done := make(chan error, 1)
	conn.Start(func(m websocket.Message) error {
		return conn.WriteMessage(m.Type, m.Data)
	}, func(err error) { done <- err })
	return <-done
}

func echoIterated(conn *websocket.Conn) error {
	for m, err := range conn.Messages(context.Background()) {
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(m.Type, m.Data); err != nil {
			return err
		}
	}
	return nil
}
