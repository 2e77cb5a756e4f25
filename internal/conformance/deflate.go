package conformance

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// direction is how messages of one direction are deflated.
type direction struct {
	takeover bool // a message may refer to earlier ones
	bits     int  // the window is 1<<bits octets
}

// agreement is permessage-deflate on one connection. The two directions may be used side by side, each by one goroutine.
type agreement struct {
	send, receive direction

	deflater *flate.Writer
	deflated bytes.Buffer

	inflater io.ReadCloser
	history  []byte // the end of what was inflated, for context takeover
}

// tail is the empty stored block that every message leaves out (RFC 7692 section 7.2.1).
var tail = []byte{0, 0, 0xFF, 0xFF}

// deflate compresses a message. The slice is good until the next call.
func (a *agreement) deflate(p []byte) ([]byte, error) {
	fresh := !a.send.takeover
	if a.deflater == nil {
		w, err := flate.NewWriter(&a.deflated, flate.BestSpeed)
		if err != nil {
			return nil, err
		}
		a.deflater, fresh = w, false
	}
	a.deflated.Reset()
	// compress/flate always looks back 32 KiB. For a smaller window the message is cut into pieces as long as the window, each of which
	// knows nothing of the one before.
	piece := len(p)
	if a.send.bits < 15 {
		piece, fresh = 1<<a.send.bits, true
	}
	for first := true; first || len(p) > 0; first = false {
		n := min(piece, len(p))
		if fresh {
			a.deflater.Reset(&a.deflated)
		}
		if _, err := a.deflater.Write(p[:n]); err != nil {
			return nil, err
		}
		if err := a.deflater.Flush(); err != nil {
			return nil, err
		}
		p = p[n:]
	}
	return bytes.TrimSuffix(a.deflated.Bytes(), tail), nil
}

// end closes the last open block and the stream, so that compress/flate sees a proper end.
var end = append(append([]byte{}, tail...), 1, 0, 0, 0xFF, 0xFF)

// inflate decompresses a message and looks that it stays within the window.
func (a *agreement) inflate(p []byte) ([]byte, error) {
	source := io.MultiReader(bytes.NewReader(p), bytes.NewReader(end))
	if a.inflater == nil {
		a.inflater = flate.NewReader(nil)
	}
	if err := a.inflater.(flate.Resetter).Reset(source, a.history); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(a.inflater, maxMessage+1))
	switch {
	case err != nil:
		return nil, err
	case n > maxMessage:
		return nil, errors.New("longer than any message that was sent")
	}
	if a.receive.bits < 15 { // 15 is all that DEFLATE can express
		reach, err := distance(append(bytes.Clone(p), tail...))
		if err != nil {
			return nil, err
		}
		if reach > 1<<a.receive.bits {
			return nil, fmt.Errorf("a distance of %d is outside the window of %d octets (RFC 7692 section 7.1.2)", reach, 1<<a.receive.bits)
		}
	}
	if a.receive.takeover {
		a.history = append(a.history, out.Bytes()...)
		a.history = bytes.Clone(a.history[max(0, len(a.history)-1<<a.receive.bits):])
	}
	return out.Bytes(), nil
}
