package endpoint

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"strconv"
	"time"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/http2"
)

// Client is the client under test. It asks the suite's server how many cases
// there are, plays each on a connection of its own, and has the reports written.
type Client struct {
	Config
	URL   string        // the suite's server, ws://host:port
	Agent string        // name of this client in the reports
	Wait  time.Duration // how long to try the first connection while the server starts, 0 is once
	Log   *log.Logger   // told of connections that could not be opened, and how many were at the end

	transport *http2.Transport // nil is HTTP/1.1
}

// patience bounds an opening handshake. The suite writes all its reports before
// it answers the request for them.
const patience = 5 * time.Minute

// tryFor bounds a try of the first connection, so that one which hangs while the
// server starts is not the last.
const tryFor = 5 * time.Second

// retryAfter is the pause between two tries of the first connection.
const retryAfter = 100 * time.Millisecond

// Run plays the cases. An error says that they were not played to the end; how
// they went is in the reports.
func (c Client) Run(ctx context.Context) error {
	if c.HTTP2 {
		c.transport = &http2.Transport{TLSClientConfig: c.TLS, Unencrypted: true}
		defer c.transport.CloseIdleConnections()
	}
	count, err := c.caseCount(ctx)
	if err != nil {
		return fmt.Errorf("getCaseCount: %w", err)
	}
	opened := 0
	for i := 1; i <= count; i++ {
		conn, err := c.dial(ctx, "runCase?case="+strconv.Itoa(i)+"&agent="+url.QueryEscape(c.Agent))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			// The suite counts the case as failed, or as passed where refusing was right.
			c.Log.Printf("case %d of %d: %v", i, count, err)
			continue
		}
		opened++
		c.echo(ctx, conn)
		conn.Close()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := c.updateReports(ctx); err != nil {
		return fmt.Errorf("updateReports: %w", err)
	}
	c.Log.Printf("%d of %d cases played, and the reports asked for", opened, count)
	return nil
}

// dial opens a connection to the suite's server.
func (c Client) dial(ctx context.Context, request string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{HandshakeTimeout: patience, Options: c.options()}
	if c.transport != nil {
		dialer.Transport = c.transport
	}
	conn, _, err := dialer.DialContext(ctx, c.URL+"/"+request, nil)
	return conn, err
}

// caseCount asks for the number of cases, again and again while the server
// starts: a published port of a container may accept connections before anything
// answers on them.
func (c Client) caseCount(ctx context.Context) (int, error) {
	giveUp := time.Now().Add(c.Wait)
	for {
		bound := tryFor
		if c.Wait > 0 {
			bound = min(bound, time.Until(giveUp))
		}
		count, err := c.askCaseCount(ctx, bound)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err == nil || time.Until(giveUp) <= retryAfter {
			return count, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(retryAfter):
		}
	}
}

func (c Client) askCaseCount(ctx context.Context, bound time.Duration) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("no answer within %v", bound.Round(time.Millisecond)))
	defer cancel()
	conn, err := c.dial(ctx, "getCaseCount")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_, p, err := conn.ReadMessageContext(ctx, nil)
	if err != nil {
		return 0, err
	}
	conn.Shutdown(ctx, websocket.CloseNormalClosure, "")
	return strconv.Atoi(string(p))
}

// updateReports has the reports written and waits until they are: the server
// closes the connection then.
func (c Client) updateReports(ctx context.Context) error {
	conn, err := c.dial(ctx, "updateReports?agent="+url.QueryEscape(c.Agent))
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, err := range conn.Messages(ctx) {
		if err != nil && !websocket.IsCloseError(err, websocket.CloseNoStatusReceived) {
			return err
		}
	}
	return nil
}
