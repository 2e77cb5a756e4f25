package http2

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
)

// golang.org/x/net/http2 keeps a buffer for each request with a body, for as long as the
// request takes, of the largest frame that the server wants to read, up to 512 KiB; an
// http.Server that is left as it is asks for 1 MiB. A client may always send
// smaller frames, so it is not told.

// maxFrameSize is the largest frame that every peer reads (RFC 9113, section 4.2), in bytes.
const maxFrameSize = 16 << 10

const (
	frameHeader      = 9    // bytes (RFC 9113, section 4.1)
	typeSettings     = 0x04 // RFC 9113, section 6.5
	settingFrameSize = 0x05 // SETTINGS_MAX_FRAME_SIZE (RFC 9113, section 6.5.2)
	settingSize      = 6    // bytes
)

// A smallFrames is a client's connection to a server that wants no frame of more than
// maxFrameSize, whatever it says in the SETTINGS frame that its connection preface is
// (RFC 9113, section 3.4).
type smallFrames struct {
	net.Conn
	preface []byte // what was read and not handed out yet, up to the end of that frame
	err     error  // why there is no more of it
	passed  bool   // the frame was read
}

func (c *smallFrames) Read(p []byte) (int, error) {
	if !c.passed {
		c.passed = true
		c.readPreface()
	}
	if len(c.preface) > 0 {
		n := copy(p, c.preface)
		c.preface = c.preface[n:]
		return n, nil
	}
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// readPreface reads the first frame and, if that is as it should be, changes it. To judge
// it is left to whoever reads it.
func (c *smallFrames) readPreface() {
	b := make([]byte, frameHeader)
	n, err := io.ReadFull(c.Conn, b)
	c.preface, c.err = b[:n], err
	length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	if err != nil || b[3] != typeSettings || length > maxFrameSize {
		return
	}
	b = append(b, make([]byte, length)...)
	n, c.err = io.ReadFull(c.Conn, b[frameHeader:])
	c.preface = b[:frameHeader+n]
	for setting := b[frameHeader:]; len(setting) >= settingSize; setting = setting[settingSize:] {
		if binary.BigEndian.Uint16(setting) == settingFrameSize {
			value := setting[2:settingSize]
			binary.BigEndian.PutUint32(value, min(binary.BigEndian.Uint32(value), maxFrameSize))
		}
	}
}

// A smallTLSFrames tells of its TLS, too.
type smallTLSFrames struct {
	smallFrames
	tls *tls.Conn
}

func (c *smallTLSFrames) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }
