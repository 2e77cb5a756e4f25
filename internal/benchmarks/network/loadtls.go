//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A tlsLoad is a load over TLS, a goroutine for each connection.
type tlsLoad struct {
	conns []*tls.Conn
	in    []receiver
}

func (l *tlsLoad) close() {
	for _, c := range l.conns {
		c.NetConn().Close()
	}
}

func (l *tlsLoad) dial(addr string, plain bool, n int, in receiver) error {
	for range n {
		nc, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return err
		}
		nc.SetDeadline(time.Now().Add(2 * patience))
		nc.(*net.TCPConn).SetLinger(0)
		c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) // by the process that we have started
		l.conns, l.in = append(l.conns, c), append(l.in, in)
		if plain {
			if err := c.Handshake(); err != nil {
				return err
			}
			continue
		}
		if _, err := c.Write(handshakeRequest(addr, "https")); err != nil {
			return err
		}
		answer := make([]byte, 4096)
		k, err := c.Read(answer)
		if err != nil {
			return err
		}
		if err := checkAnswer(answer[:k]); err != nil {
			return err
		}
	}
	return nil
}

// exchange is as that of a load.
func (l *tlsLoad) exchange(batch []byte, per int, d time.Duration) (result, error) {
	var (
		group sync.WaitGroup
		begin = time.Now()
		parts = make([]result, len(l.conns))
		errs  = make([]error, len(l.conns))
	)
	for i, c := range l.conns {
		group.Go(func() { parts[i], errs[i] = exchangeOne(c, &l.in[i], batch, per, d) })
	}
	group.Wait()
	r := result{elapsed: time.Since(begin)}
	for i := range parts {
		r.messages += parts[i].messages
		r.latency.merge(&parts[i].latency)
	}
	return r, errors.Join(errs...)
}

func exchangeOne(c *tls.Conn, in *receiver, batch []byte, per int, d time.Duration) (r result, err error) {
	buf := make([]byte, 64<<10)
	for begin, now := time.Now(), time.Now(); r.messages == 0 || now.Sub(begin) < d; {
		sent, due := now, in.messages+per
		if _, err := c.Write(batch); err != nil {
			return r, err
		}
		for in.messages < due {
			n, err := c.Read(buf)
			if err != nil {
				return r, err
			}
			if err := in.take(buf[:n]); err != nil {
				return r, err
			}
		}
		if in.messages > due {
			return r, fmt.Errorf("%d messages instead of %d", in.messages, due)
		}
		now = time.Now()
		r.latency.add(now.Sub(sent))
		r.messages += per
	}
	return r, nil
}
