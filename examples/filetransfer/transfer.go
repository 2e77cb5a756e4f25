package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/duplexkit/websocket"
)

// A connection carries one transfer. The client says which:
//
//	client    {"op": "put", "name": "a/big.iso"}, or get
//
// From then on it matters only who sends and who receives. An answer that is not the one
// expected is a close frame with one of the codes below, and the reason.
//
//	receiver  {"offset": 5000, "sha256": "..."}    what it has already, and the checksum of that
//	sender    {"offset": 5000, "size": 90000}      from where it sends: there, or from 0 if its own file begins otherwise
//	sender    a binary message with the 85000 bytes that are left
//	sender    {"sha256": "..."}                    the checksum of the whole file
//	receiver  {"saved": true}

type request struct {
	Op   string `json:"op"` // "put" or "get"
	Name string `json:"name"`
}

type offer struct {
	Offset int64  `json:"offset"`
	SHA256 string `json:"sha256"`          // of the bytes up to there
	Whole  bool   `json:"whole,omitempty"` // it is a whole file: of use only if it is this one
}

type header struct {
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"` // of the whole file
}

type trailer struct {
	SHA256 string `json:"sha256"`
}

type receipt struct {
	Saved bool `json:"saved"`
}

// Close codes, from the range for private use (RFC 6455, section 7.4.2).
const (
	codeRefused  = 4400 // the request, or a message that was not due
	codeNotFound = 4404 // no such file
	codeStalled  = 4408 // the sender sends nothing any more
	codeBusy     = 4409 // somebody else is writing to it; or our own connection that was cut, and the server does not know yet
	codeTooLarge = 4413
	codeChecksum = 4422 // what was received is not what was sent
	codeStorage  = 4507 // the file could not be read or saved
)

func refuse(code int, format string, args ...any) error {
	return &websocket.CloseError{Code: code, Text: fmt.Sprintf(format, args...)}
}

// controlLimit bounds the JSON messages, in bytes. A file's is as large as the file.
const controlLimit = 64 << 10

// partial is what a file that is not complete ends in.
const partial = ".part"

// stall is for how long a sender may send nothing, however well it answers pings, for until
// it ends nobody else may send the file.
const stall = time.Minute

// slowest is how many bytes a second a sender reads at least, while we wait for it to find out
// whether it has what we have.
const slowest = 10_000_000

// progress is told where a transfer begins, and of the bytes as they go.
type progress interface {
	begin(offset, size int64)
	io.Writer
}

// send sends f, of which the receiver may have a part.
func send(c *websocket.Conn, f *os.File, size int64, p progress) error {
	var has offer
	if err := readControl(c, &has); err != nil {
		return err
	}
	// The receiver may give up at any time, and so somebody has to read all the while. That
	// also answers its pings.
	saved := make(chan error, 1)
	go func() {
		var r receipt
		err := readControl(c, &r)
		if err == nil && !r.Saved {
			err = refuse(codeRefused, "it was not saved")
		}
		saved <- err
	}()
	if err := sendFrom(c, f, size, has, p); err != nil {
		leave(c, websocket.CloseInternalServerErr, "the sender has failed") // which is over already if the connection is
		if reason := <-saved; isRefusal(reason) {
			return reason // says more than that our write has failed
		}
		return err
	}
	return <-saved
}

func sendFrom(c *websocket.Conn, f *os.File, size int64, has offer, p progress) error {
	sum := sha256.New()
	offset := int64(0)
	if has.Offset > 0 && has.Offset <= size && (!has.Whole || has.Offset == size) {
		if _, err := io.CopyN(sum, alive{c, f}, has.Offset); err != nil {
			return err
		}
		if sumOf(sum) == has.SHA256 {
			offset = has.Offset
		} else {
			sum.Reset()
		}
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return final{err}
	}
	if err := c.WriteJSON(header{offset, size}); err != nil {
		return err
	}
	p.begin(offset, size)

	w, err := c.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	// If this fails the message stays open: half of one must not look whole.
	if _, err := io.CopyN(io.MultiWriter(w, sum, p), alive{c, f}, size-offset); err != nil {
		if err == io.EOF {
			err = final{errors.New("the file has become shorter meanwhile")}
		}
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.WriteJSON(trailer{sumOf(sum)})
}

// receive saves what comes as the file of this name. Until it is complete it is kept
// under another name, and stays there if the connection is cut.
func receive(c *websocket.Conn, files *os.Root, name string, limit int64, p progress) error {
	f, has, sum, err := existing(c, files, name)
	if err != nil {
		return err
	}
	defer func() { f.Close() }() // as it is then; Close may be called on nil, and twice
	if err := c.WriteJSON(has); err != nil {
		return err
	}
	h := header{Offset: -1, Size: -1} // if it does not say
	switch err := readDue(c, stall+time.Duration(has.Offset/slowest)*time.Second, &h); {
	case err != nil:
		return err
	case h.Size < h.Offset, h.Offset != 0 && h.Offset != has.Offset:
		return refuse(codeRefused, "the file does not begin at %d", h.Offset)
	case has.Whole && h.Offset != 0 && h.Offset != h.Size:
		return refuse(codeRefused, "nothing is added to a whole file")
	case limit > 0 && h.Size > limit:
		return refuse(codeTooLarge, "a file may have %d bytes at most", limit)
	}
	p.begin(h.Offset, h.Size)

	already := has.Whole && h.Offset != 0
	if f == nil || has.Whole && !already { // a file that has the name stays until this one is complete
		f.Close()
		if err := files.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if f, err = openPart(files, name, os.O_CREATE); err != nil {
			return err
		}
	}
	if !already {
		if err := f.Truncate(h.Offset); err != nil {
			return err
		}
		if _, err := f.Seek(h.Offset, io.SeekStart); err != nil {
			return err
		}
	}
	if h.Offset == 0 {
		sum.Reset()
	}
	if err := receiveBody(c, io.MultiWriter(f, sum, p), h.Size-h.Offset); err != nil {
		return err
	}

	var t trailer
	switch err := readDue(c, stall, &t); {
	case err != nil:
		return err
	case t.SHA256 != sumOf(sum) && already:
		return refuse(codeChecksum, "the checksum is wrong")
	case t.SHA256 != sumOf(sum): // going on from here would not make it right
		return errors.Join(refuse(codeChecksum, "the checksum is wrong"), files.Remove(name+partial))
	case !already:
		if err := f.Sync(); err != nil {
			return err
		}
		if !isNamed(f, files, name+partial) {
			return errors.New("somebody has taken the file away")
		}
		if err := files.Rename(name+partial, name); err != nil { // before the lock goes with Close
			return err
		}
	}
	return c.WriteJSON(receipt{true})
}

// readControl reads a JSON message.
func readControl(c *websocket.Conn, v any) error {
	c.SetReadLimit(controlLimit)
	err := stalled(c.ReadJSON(v))
	if err != nil && c.Context().Err() == nil && !isRefusal(err) { // it came, and is none
		return refuse(codeRefused, "another message was due")
	}
	return err
}

// readDue is readControl for a message that is to come within this time.
func readDue(c *websocket.Conn, within time.Duration, v any) error {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	return readControl(c, v)
}

// stalled tells the sender why we wait no longer.
func stalled(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refuse(codeStalled, "nothing has come for too long")
	}
	return err
}

// receiveBody writes the next message, which must have n bytes, to w.
func receiveBody(c *websocket.Conn, w io.Writer, n int64) error {
	c.SetReadLimit(max(n, 1)) // 0 would be no limit
	if err := c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return err
	}
	messageType, r, err := c.NextReader()
	if err != nil {
		return stalled(err)
	}
	if messageType != websocket.BinaryMessage {
		return refuse(codeRefused, "a binary message was due")
	}
	r = steady{c, r}
	switch got, err := io.CopyN(w, r, n); {
	case err == io.EOF:
		return refuse(codeRefused, "%d bytes were due, %d came", n, got)
	case err != nil:
		return stalled(err)
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); err {
	case nil: // not one byte too many reaches w
		return refuse(codeRefused, "%d bytes were due, more came", n)
	case io.EOF:
		return nil
	default:
		return stalled(err)
	}
}

// steady is a message of which each piece has to come in time.
type steady struct {
	c *websocket.Conn
	r io.Reader
}

func (s steady) Read(p []byte) (int, error) {
	if err := s.c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// existing opens what there is of the file: a part of it, or else, since the receipt may
// have been lost with the connection, a whole one. If there is nothing, f is nil.
func existing(c *websocket.Conn, files *os.Root, name string) (f *os.File, has offer, sum hash.Hash, err error) {
	f, err = openPart(files, name, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, _, err = openFile(files, name)
		has.Whole = err == nil
	}
	sum = sha256.New()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		has.SHA256 = sumOf(sum)
		return nil, has, sum, nil
	case err != nil:
		return nil, has, nil, err
	}
	err = whileReading(c, func() (err error) {
		has.Offset, err = io.Copy(sum, alive{c, f})
		return err
	})
	if err != nil {
		f.Close()
		return nil, has, nil, err
	}
	has.SHA256 = sumOf(sum)
	return f, has, sum, nil
}

// openPart opens the part of a file, which is ours alone until we close it. It goes by the
// file and not by its name, for a name may be spelled in more than one way: by links, or where
// letters match in either case.
func openPart(files *os.Root, name string, flag int) (*os.File, error) {
	f, err := files.OpenFile(name+partial, os.O_RDWR|flag, 0o644)
	if err != nil {
		return nil, err
	}
	err = lock(f)
	if err == nil && !isNamed(f, files, name+partial) { // who had it before has completed it
		err = errLocked
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// errLocked is no fault of the client, which tries again.
var errLocked = refuse(codeBusy, "somebody else is writing to the file")

// isNamed reports whether f is the file that has this name now.
func isNamed(f *os.File, files *os.Root, name string) bool {
	ours, err := f.Stat()
	theirs, err2 := files.Lstat(name)
	return errors.Join(err, err2) == nil && os.SameFile(ours, theirs)
}

// openFile opens a file for reading. Anything else, which may have no end, is refused
// before it is opened.
func openFile(files *os.Root, name string) (f *os.File, size int64, err error) {
	info, err := files.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, refuse(codeRefused, "it is not a file")
	}
	if f, err = files.Open(name); err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil { // another may have got the name since
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// whileReading calls work while a read waits, which answers the pings of a peer that has to
// wait for us. No message is due meanwhile. A read that is called off has lost nothing.
func whileReading(c *websocket.Conn, work func() error) error {
	ctx, cancel := context.WithCancel(context.Background())
	read := make(chan error, 1)
	go func() {
		_, _, err := c.ReadMessageContext(ctx, nil)
		read <- err
	}()
	err := work()
	cancel()
	switch readErr := <-read; {
	case readErr == nil:
		return refuse(codeRefused, "no message was due")
	case !errors.Is(readErr, context.Canceled):
		return readErr
	}
	return err
}

// alive is a file that is read for as long as the connection lives.
type alive struct {
	c *websocket.Conn
	f *os.File
}

func (a alive) Read(p []byte) (int, error) {
	if ctx := a.c.Context(); ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	n, err := a.f.Read(p)
	if err != nil && err != io.EOF {
		err = final{err}
	}
	return n, err
}

// final marks an error of our own, which no other connection would mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
