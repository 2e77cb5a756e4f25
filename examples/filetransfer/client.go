package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/duplexkit/websocket"
)

// Between attempts the client waits, twice as long each time that nothing was transferred.
const (
	firstPause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
)

type client struct {
	dialer   websocket.Dialer
	url      string
	retries  int           // attempts in a row that may fail without a byte transferred
	pause    time.Duration // before the first attempt after one that failed
	out      io.Writer     // for the progress
	terminal bool          // out is one, and has room for a bar
}

func (cl *client) put(ctx context.Context, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", file)
	}
	return cl.persist(ctx, request{"put", name}, func(c *websocket.Conn, p progress) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return send(c, f, info.Size(), p)
	})
}

func (cl *client) get(ctx context.Context, name, file string) error {
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is there already and is not a file", file)
	}
	return cl.persist(ctx, request{"get", name}, func(c *websocket.Conn, p progress) error {
		return receive(c, dir, filepath.Base(file), 0, p)
	})
}

// persist tries until the transfer is complete, or it is clear that it will not be.
func (cl *client) persist(ctx context.Context, r request, transfer func(*websocket.Conn, progress) error) error {
	pause := cl.pause
	for failures := 0; ; {
		b := newBar(cl.out, r.Name, cl.terminal)
		err := cl.attempt(ctx, r, b, transfer)
		b.end(err)
		if b.moved() && !websocket.IsCloseError(err, codeChecksum) {
			failures, pause = 0, cl.pause
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.New("interrupted; the same command goes on from here")
		case !worthAnother(err), failures == cl.retries:
			return err
		}
		failures++
		fmt.Fprintf(cl.out, "%s; trying again in %v\n", printable(err), pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestPause)
	}
}

func (cl *client) attempt(ctx context.Context, r request, p progress, transfer func(*websocket.Conn, progress) error) error {
	dialer := cl.dialer
	dialer.Options = options
	dialer.WriteBufferSize = fragment
	c, resp, err := dialer.DialContext(ctx, cl.url, nil)
	switch {
	case resp != nil && err != nil && resp.StatusCode < http.StatusInternalServerError:
		why, _ := io.ReadAll(resp.Body) // or the beginning of it
		return final{fmt.Errorf("%w: the server answered %s: %s", err, resp.Status, bytes.TrimSpace(why))}
	case err != nil:
		return err
	}
	defer c.Close()
	left := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		leave(c, websocket.CloseGoingAway, "interrupted")
	})
	defer func() {
		if !stop() {
			<-left
		}
	}()

	if err := c.WriteJSON(r); err != nil {
		return err
	}
	err = transfer(c, p)
	switch {
	case err == nil:
		leave(c, websocket.CloseNormalClosure, "")
		return nil
	case c.Context().Err() == nil: // the connection is well: it must be a file
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			leave(c, closed.Code, closed.Text)
		} else {
			leave(c, websocket.CloseInternalServerErr, "the client's own file has failed")
		}
		return final{err}
	}
	return err
}

func worthAnother(err error) bool {
	var f final
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return closed.Code < codeRefused || closed.Code == codeStalled || closed.Code == codeBusy || closed.Code == codeChecksum
	case errors.As(err, &f):
		return false
	}
	return true
}

// printable is what an error says, fit for a terminal: there may be words of the server in
// it, and those might command one.
func printable(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return ' '
	}, err.Error())
}
