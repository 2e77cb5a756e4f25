package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// runNodes runs several nodes as processes of their own, so that one can be killed.
func runNodes(ctx context.Context, cfg config, stdout, stderr io.Writer) (err error) {
	if strconv.IntSize < 64 {
		return err32
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir := cfg.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "cluster-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err := makeSecret(dir); err != nil {
		return err
	}
	nodes, err := plan(cfg, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(nodes))
	var running sync.WaitGroup
	for i, args := range nodes {
		running.Go(func() {
			if errs[i] = keep(ctx, cfg.restart, i+1, self, args, stdout, stderr); errs[i] != nil {
				cancel()
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// makeSecret makes what the nats-servers know each other by. The other users of this machine can
// connect to them as well, and would be part of the cluster. They can see the arguments of a
// process, and not this file.
func makeSecret(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := secretFile(dir)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // it may be readable for others
	}
	return os.WriteFile(file, []byte(rand.Text()+"\n"), 0o600)
}

func secretFile(dir string) string { return filepath.Join(dir, "secret") }

// plan returns the arguments of each node.
func plan(cfg config, dir string) ([][]string, error) {
	addrs, err := addresses(cfg.addr, cfg.nodes)
	if err != nil {
		return nil, err
	}
	routes, err := addresses("127.0.0.1:0", cfg.nodes)
	if err != nil {
		return nil, err
	}
	var peers, urls []string
	for i := range cfg.nodes {
		peer := addrs[i]
		if host, port, _ := net.SplitHostPort(peer); host == "" || net.ParseIP(host).IsUnspecified() {
			peer = net.JoinHostPort("localhost", port)
		}
		peers = append(peers, "http://"+peer)
		urls = append(urls, "nats://"+routes[i])
	}
	var nodes [][]string
	for i := range cfg.nodes {
		name := "n" + strconv.Itoa(i+1)
		nodes = append(nodes, []string{
			"-name", name,
			"-addr", addrs[i],
			"-peers", strings.Join(peers, ","),
			"-dir", filepath.Join(dir, name),
			"-cluster", routes[i],
			"-routes", strings.Join(urls, ","),
			"-secret", secretFile(dir),
			"-prefix", cfg.prefix,
			"-history", strconv.Itoa(cfg.history),
			"-size", strconv.Itoa(cfg.size),
			"-replicas", strconv.Itoa(cfg.replicas),
			"-storage", strings.ToLower(cfg.storage.String()),
			"-pause", cfg.pause.String(),
			"-unready", cfg.unready.String(),
			"-until-eof", // whatever becomes of this process, they end too
		})
	}
	return nodes, nil
}

// Ports for -addr with port 0, and for the nats-servers, are below those that a system hands
// out by itself (from 32768 on, or 49152): between the choice and the use, and while a node is dead and
// is to come back, they would be taken by somebody's outgoing connection.
const (
	firstPort = 10000
	lastPort  = 32000
)

// tried counts the ports that were tried. Where to begin depends on the process, lest two
// that start beside each other find the same.
var tried atomic.Int64

// freePort returns a listener, to be closed when the port is needed.
func freePort(host string) (net.Listener, error) {
	at, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	for range 1000 {
		next := int64(os.Getpid())*32 + tried.Add(1)
		at.Port = firstPort + int(next%(lastPort-firstPort))
		var ln net.Listener
		if ln, err = net.ListenTCP("tcp", at); err == nil {
			return ln, nil
		}
	}
	return nil, err
}

// addresses returns n addresses with ports that follow each other or, for port 0, are free.
func addresses(addr string, n int) (addrs []string, err error) {
	host, first, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("-addr: %w", err)
	}
	port, err := strconv.Atoi(first)
	if err != nil {
		return nil, fmt.Errorf("-addr: %q is not the number of a port", first)
	}
	for i := range n {
		p := port + i
		if port == 0 {
			ln, err := freePort(host)
			if err != nil {
				return nil, err
			}
			defer func() { _ = ln.Close() }() // when all are found, lest one is found twice
			p = ln.Addr().(*net.TCPAddr).Port
		}
		addrs = append(addrs, net.JoinHostPort(host, strconv.Itoa(p)))
	}
	return addrs, nil
}

// keep runs a node until ctx ends, and starts it again when it has died. One that never
// came up is not worth it: that is an error.
func keep(ctx context.Context, restart time.Duration, number int, self string, args []string, stdout, stderr io.Writer) error {
	for first := true; ; first = false {
		began := time.Now()
		p := exec.Command(self, args...)
		p.Stdout, p.Stderr = stdout, stderr
		open, err := p.StdinPipe()
		if err != nil {
			return err
		}
		if err := p.Start(); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "n%d is process %d\n", number, p.Process.Pid)
		end := context.AfterFunc(ctx, func() { _ = open.Close() }) // an error is that it has ended
		err = p.Wait()
		if !end() {
			if err != nil {
				return fmt.Errorf("n%d: %w", number, err)
			}
			return nil
		}
		var exit *exec.ExitError
		if first && errors.As(err, &exit) && exit.ExitCode() > 0 && time.Since(began) < 5*time.Second {
			return fmt.Errorf("n%d: %w", number, err) // it has said why
		}
		if restart == 0 {
			fmt.Fprintf(stdout, "n%d has ended: %v\n", number, p.ProcessState)
			<-ctx.Done()
			return nil
		}
		fmt.Fprintf(stdout, "n%d has ended: %v; it is started again in %v\n", number, p.ProcessState, restart)
		select {
		case <-time.After(restart):
		case <-ctx.Done():
			return nil
		}
	}
}
