package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/duplexkit/websocket/internal/h2wire"
)

// RunClient plays the cases against the server at config.URL, each on a connection of its own, and writes the report if config.Dir says
// where. The error is about the run, such as an unknown pattern or a file that cannot be written: what the server does is in the
// report. When ctx ends, cases that are not over are left out and its cause is the error.
func RunClient(ctx context.Context, config Config) (Report, error) {
	config = config.withDefaults()
	target, err := url.Parse(config.URL)
	if err != nil {
		return nil, fmt.Errorf("conformance: %w", err)
	}
	if target.Scheme != "ws" || target.Host == "" {
		return nil, fmt.Errorf("conformance: %q is not the URL of a WebSocket server without TLS", config.URL)
	}
	cases, err := choose(Client, config.Cases, config.Exclude)
	if err != nil {
		return nil, err
	}

	results := make([]*Result, len(cases))
	next := make(chan int)
	line := &sharedLine{config: config, target: target}
	defer line.close()
	var players sync.WaitGroup
	for range config.Parallel {
		players.Go(func() {
			for i := range next {
				r := playAsClient(ctx, cases[i], config, target, line)
				if r.Case = i + 1; ctx.Err() == nil {
					results[i] = r
				}
			}
		})
	}
	for i := range cases {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	players.Wait()

	report := Report{config.Agent: {}}
	for _, r := range results {
		if r != nil {
			report[config.Agent][r.ID] = r
		}
	}
	err = context.Cause(ctx)
	if config.Dir != "" {
		err = errors.Join(err, report.Write(config.Dir))
	}
	return report, err
}

func playAsClient(ctx context.Context, c Case, config Config, target *url.URL, line *sharedLine) *Result {
	p, start := script(c.ID, config), time.Now()
	dialing, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	var conn net.Conn
	var err error
	if config.HTTP2 {
		conn, err = line.open(dialing, p.extension.lines())
	} else {
		conn, err = dialTCP(dialing, target)
	}
	if err != nil {
		return refused(c, config, Client, nil, start, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	_ = conn.SetReadDeadline(time.Now().Add(config.Timeout))
	br := bufio.NewReader(conn)
	var o *opening
	if config.HTTP2 {
		o, err = openedOver(conn.(*h2wire.Stream), target, config.Timeout)
	} else {
		o, err = openAsClient(conn, br, target, p.extension.lines())
	}
	var answer *terms
	if err == nil {
		answer, err = answerFrom(o.header["Sec-Websocket-Extensions"], p.extension != nil)
	}
	if err == nil && p.extension != nil && p.extension.held != nil {
		err = p.extension.held(answer)
	}
	if err != nil {
		_ = conn.Close()
		return refused(c, config, Client, o, start, fmt.Errorf("opening handshake: %w", err))
	}
	_ = conn.SetReadDeadline(time.Time{})
	var ext *agreement
	if answer != nil {
		ext = answer.agree(false)
	}
	return newSession(c, p, config, Client, conn, br, o, ext).conduct()
}

func dialTCP(ctx context.Context, target *url.URL) (net.Conn, error) {
	address := target.Host
	if target.Port() == "" {
		address = net.JoinHostPort(target.Hostname(), "80")
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}
