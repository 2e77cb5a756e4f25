package websocket

import (
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/duplexkit/websocket/internal/deflate"
)

// permessage-deflate (RFC 7692). From top to bottom: the terms of a program;
// what the two ends say about it in the opening handshake; how messages are
// compressed on their way out and expanded on their way in; at the end, who
// notices that neither happens any more.

// Compression holds the terms of permessage-deflate (RFC 7692). The zero value is
// compression with context takeover and small windows. It may be copied. With a
// value out of its range, Dial fails and Upgrade refuses every request with status
// 500; NewConn takes the nearest, or the default level.
//
// A window is how far back, in bytes and as a power of two, a message may refer
// to what was sent before it. Each end states how large its own window is; with
// context takeover it keeps it from one message to the next, which makes small
// messages much smaller. What a connection keeps for that between messages: three
// times the window for writing, or four times at the better levels (12 and 16 KiB
// for 12 bits), from its first compressed message until it has written none for a
// minute or two; and for reading what was received, up to the peer's window (4 KiB
// for 12 bits, 32 KiB for a peer that knows no limit), as long as it lives.
type Compression struct {
	// Level is how hard to try, from 1 (fast) to 9 (small) in the words of
	// compress/flate, or -2 for Huffman codes alone. There are two ways to search
	// for repetitions: 1 to 5 are the fast one, 6 to 9 the better one. 0 is the
	// default, which is fast, and so is -1. (To Conn.SetCompressionLevel, 0 means
	// no compression.)
	Level int

	// Threshold is the smallest message worth compressing, in bytes. 0 is all with
	// context takeover and 256 without, negative is all. Of a message that is
	// written piece by piece the first 32 KiB count. A message that does not shrink
	// is sent as it is, and after a number of those some of about the same size
	// are not tried.
	Threshold int

	// ServerNoContextTakeover and ClientNoContextTakeover have that end begin each
	// message afresh (RFC 7692, section 7.1.1). An end that does so keeps nothing
	// between messages for writing. A server asks a client for it only if it is set
	// here or offered: clients are known that do not listen. That is why the other
	// end goes on keeping up to 32 KiB for reading, until eight messages have shown
	// that nothing is missed without it, and the connection is idle.
	ServerNoContextTakeover bool
	ClientNoContextTakeover bool

	// ServerMaxWindowBits and ClientMaxWindowBits limit the window of that end to 1<<n
	// bytes, n from 8 to 15 (RFC 7692, section 7.1.2). With 0 a server takes 12 for
	// itself and, where the client lets it choose, for the client; a client leaves
	// the choice to the server, and uses no more than 12 for itself. The other end
	// is never asked for 8, which zlib does not have.
	ServerMaxWindowBits int
	ClientMaxWindowBits int

	// Decline, on a server, is asked about clients that make an offer which can be
	// met, and says whether to decline it, because they are known to be broken: by
	// their User-Agent, say. nil declines none.
	Decline func(r *http.Request) bool
}

// What 0 means.
const (
	defaultBits      = 12  // of a window, to keep a connection small
	defaultThreshold = 256 // bytes, where no context is taken over: smaller messages hardly shrink
	fastLevel        = -1
)

// smallestAsked is the smallest window that the other end is asked for: a peer
// that uses zlib cannot compress with 8 bits.
const smallestAsked = 9

// terms are what one end wants of permessage-deflate.
type terms struct {
	Compression
	bare bool // say no more of window bits than an offer makes us: what EnableCompression alone means
}

// termsOf returns the terms that a program's settings mean, nil for none.
func termsOf(enable bool, c *Compression) *terms {
	switch {
	case c != nil:
		return &terms{Compression: *c}
	case enable:
		return &terms{Compression: Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}, bare: true}
	}
	return nil
}

// check returns an error for terms that nobody can keep.
func (t *terms) check() error {
	switch {
	case t == nil:
		return nil
	case !validLevel(t.Level):
		return fmt.Errorf("Compression.Level is %d, and not from -2 to 9", t.Level)
	case t.ServerMaxWindowBits != 0 && !validBits(t.ServerMaxWindowBits):
		return fmt.Errorf("Compression.ServerMaxWindowBits is %d, and not 0 or from 8 to 15", t.ServerMaxWindowBits)
	case t.ClientMaxWindowBits != 0 && !validBits(t.ClientMaxWindowBits):
		return fmt.Errorf("Compression.ClientMaxWindowBits is %d, and not 0 or from 8 to 15", t.ClientMaxWindowBits)
	}
	return nil
}

func validBits(n int) bool  { return deflate.MinBits <= n && n <= deflate.MaxBits }
func validLevel(n int) bool { return -2 <= n && n <= 9 }

// deflateName is the name of the extension (section 7).
const deflateName = "permessage-deflate"

// deflateParams are the parameters of an offer or an answer (section 7.1).
type deflateParams struct {
	serverNoTakeover bool
	clientNoTakeover bool
	serverBits       int // 0 if absent
	clientBits       int // 0 if absent, unsaidBits if it came without a value
}

const unsaidBits = -1

// parseDeflateParams reads the parameters of an element. Those it does not know,
// those that come twice and values that are none are errors, for an offer
// that is to be declined (section 5.1) as for an answer that has to fail the
// connection (section 5.2).
func parseDeflateParams(params []extensionParam) (p deflateParams, err error) {
	for i, param := range params {
		for _, earlier := range params[:i] {
			if earlier.name == param.name {
				return p, fmt.Errorf("parameter %q comes twice", param.name)
			}
		}
		ok := param.value == ""
		switch param.name {
		case "server_no_context_takeover":
			p.serverNoTakeover = true
		case "client_no_context_takeover":
			p.clientNoTakeover = true
		case "server_max_window_bits":
			p.serverBits, ok = parseBits(param.value)
		case "client_max_window_bits":
			p.clientBits = unsaidBits
			if !ok {
				p.clientBits, ok = parseBits(param.value)
			}
		default:
			return p, fmt.Errorf("unknown parameter %q", param.name)
		}
		if !ok {
			return p, fmt.Errorf("value %q of parameter %q", param.value, param.name)
		}
	}
	return p, nil
}

// parseBits reads "a decimal integer value without leading zeroes between 8 to
// 15, inclusive" (section 7.1.2).
func parseBits(s string) (n int, ok bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && validBits(n) && s == strconv.Itoa(n)
}

// String returns the element of the header that says p.
func (p deflateParams) String() string {
	var room [160]byte // for all of them
	s := append(room[:0], deflateName...)
	if p.serverNoTakeover {
		s = append(s, "; server_no_context_takeover"...)
	}
	if p.clientNoTakeover {
		s = append(s, "; client_no_context_takeover"...)
	}
	if p.serverBits != 0 {
		s = strconv.AppendInt(append(s, "; server_max_window_bits="...), int64(p.serverBits), 10)
	}
	switch p.clientBits {
	case 0:
	case unsaidBits:
		s = append(s, "; client_max_window_bits"...)
	default:
		s = strconv.AppendInt(append(s, "; client_max_window_bits="...), int64(p.clientBits), 10)
	}
	return string(s)
}

// offer returns what a client with these terms offers.
func (t *terms) offer() deflateParams {
	p := deflateParams{serverNoTakeover: t.ServerNoContextTakeover, clientNoTakeover: t.ClientNoContextTakeover}
	if t.bare {
		return p
	}
	if n := t.ServerMaxWindowBits; n != 0 && n != deflate.MaxBits {
		p.serverBits = max(n, smallestAsked)
	}
	p.clientBits = unsaidBits
	if n := t.ClientMaxWindowBits; n != 0 && n != deflate.MaxBits {
		p.clientBits = n
	}
	return p
}

// choose takes the first offer that a server with these terms can meet, and
// returns what was agreed and the answer that says so; nil and "" if there is
// none, or t is nil.
func (t *terms) choose(offers []extension) (agreed *Compression, answer string) {
	if t == nil {
		return nil, ""
	}
	for _, offer := range offers {
		if offer.name != deflateName {
			continue
		}
		p, err := parseDeflateParams(offer.params)
		if err != nil {
			continue // "A server MUST decline" it (section 7.1); the client may have others
		}
		agreed, a := t.meet(p)
		return agreed, a.String()
	}
	return nil, ""
}

// meet answers an offer.
func (t *terms) meet(offer deflateParams) (agreed *Compression, answer deflateParams) {
	// An offer of server_no_context_takeover is accepted by saying it again
	// (section 7.1.1.1); client_no_context_takeover may be said again, and may
	// also be said first (section 7.1.1.2).
	answer.serverNoTakeover = t.ServerNoContextTakeover || offer.serverNoTakeover
	answer.clientNoTakeover = t.ClientNoContextTakeover || offer.clientNoTakeover

	// "the same or smaller value", and any value where none was offered (section 7.1.2.1).
	serverBits := t.bits(t.ServerMaxWindowBits)
	if offer.serverBits != 0 {
		serverBits = min(serverBits, offer.serverBits)
	}
	if offer.serverBits != 0 || serverBits < deflate.MaxBits {
		answer.serverBits = serverBits
	}

	// Only a client that offers the parameter may be given it (section 7.1.2.2).
	// One that offers 8 keeps to it without being told, and might not get over
	// the number: zlib.
	clientBits := deflate.MaxBits
	switch asked := max(t.bits(t.ClientMaxWindowBits), smallestAsked); {
	case offer.clientBits == unsaidBits:
		if clientBits = asked; asked < deflate.MaxBits {
			answer.clientBits = asked
		}
	case offer.clientBits != 0:
		if clientBits = min(asked, offer.clientBits); clientBits >= smallestAsked && !t.bare {
			answer.clientBits = clientBits
		}
	}
	return &Compression{
		ServerNoContextTakeover: answer.serverNoTakeover,
		ClientNoContextTakeover: answer.clientNoTakeover,
		ServerMaxWindowBits:     serverBits,
		ClientMaxWindowBits:     clientBits,
	}, answer
}

// bits returns what a server takes for n, a value of the program.
func (t *terms) bits(n int) int {
	switch {
	case n != 0:
		return n
	case t.bare:
		return deflate.MaxBits
	}
	return defaultBits
}

// accept judges a server's answer to what offer says, and returns what was
// agreed, nil if the server declined. t may be nil, who offers nothing.
func (t *terms) accept(answers []extension) (*Compression, error) {
	switch {
	case len(answers) == 0:
		return nil, nil
	case t == nil || answers[0].name != deflateName:
		return nil, fmt.Errorf("extension %q was not offered", answers[0].name)
	case len(answers) > 1:
		return nil, fmt.Errorf("extension %q besides %s", answers[1].name, deflateName)
	}
	answer, err := parseDeflateParams(answers[0].params)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", deflateName, err)
	}
	offer := t.offer()
	agreed := &Compression{
		// A server that was offered it and does not say it takes its context over
		// (section 7.1.1.1 forbids it). Such servers exist, and it costs no more
		// than memory.
		ServerNoContextTakeover: answer.serverNoTakeover,
		ClientNoContextTakeover: answer.clientNoTakeover || offer.clientNoTakeover,
		ServerMaxWindowBits:     deflate.MaxBits,
		ClientMaxWindowBits:     deflate.MaxBits,
	}
	switch {
	case answer.serverBits != 0:
		agreed.ServerMaxWindowBits = answer.serverBits
		if offer.serverBits != 0 && answer.serverBits > offer.serverBits { // section 7.1.2.1
			return nil, fmt.Errorf("%s: server_max_window_bits=%d, offered was %d", deflateName, answer.serverBits, offer.serverBits)
		}
	case offer.serverBits != 0: // section 7.1.2.1
		return nil, fmt.Errorf("%s: no server_max_window_bits, offered was %d", deflateName, offer.serverBits)
	}
	if offer.clientBits > 0 {
		agreed.ClientMaxWindowBits = offer.clientBits // which we keep to in any case
	}
	switch {
	case answer.clientBits == unsaidBits: // section 7.1.2.2
		return nil, fmt.Errorf("%s: client_max_window_bits without a value", deflateName)
	case answer.clientBits != 0 && offer.clientBits == 0: // section 7.1.2.2
		return nil, fmt.Errorf("%s: client_max_window_bits was not offered", deflateName)
	case answer.clientBits > agreed.ClientMaxWindowBits: // section 7.1.2.2
		return nil, fmt.Errorf("%s: client_max_window_bits=%d, offered was %d", deflateName, answer.clientBits, agreed.ClientMaxWindowBits)
	case answer.clientBits != 0:
		agreed.ClientMaxWindowBits = answer.clientBits
	}
	return agreed, nil
}

// A deflater compresses what a writer sends. It is used by whoever has the
// writer's turn, except for the settings.
type deflater struct {
	off   atomic.Bool  // by EnableWriteCompression
	level atomic.Int32 // in the words of compress/flate

	bits      int // of our window
	takeover  bool
	threshold int // bytes
	enc       deflate.Deflater
	usage     usage

	luck [sizeClasses]luck // how it went lately
}

// luck is how messages of about the same size shrank lately.
type luck struct {
	misses   uint8 // messages in a row that did not
	skipping uint8 // how many more are not even tried for that reason
}

// sizeClasses is how many classes of sizes there are: each reaches to four times
// the size of the one before. Whether numbers of a few bytes shrink says nothing
// about pictures, nor these about text.
const sizeClasses = 12

func (d *deflater) luckOf(length int) *luck {
	return &d.luck[min(bits.Len(uint(length))/2, sizeClasses-1)]
}

// newDeflater returns the deflater of the server or the client. want are the
// program's terms, nil for none.
func newDeflater(agreed Compression, want *Compression, server bool) *deflater {
	noTakeover, bits := agreed.ClientNoContextTakeover, agreed.ClientMaxWindowBits
	if server {
		noTakeover, bits = agreed.ServerNoContextTakeover, agreed.ServerMaxWindowBits
	}
	d := &deflater{takeover: !noTakeover}
	d.level.Store(fastLevel)
	threshold := 0
	if want != nil {
		own := want.ClientMaxWindowBits
		if server {
			own = want.ServerMaxWindowBits
		}
		// Less than agreed is always in order: nothing says how much of its window
		// an end has to use.
		bits = min(bits, bitsOr(own, defaultBits))
		threshold = want.Threshold
		if validLevel(want.Level) && want.Level != 0 {
			d.level.Store(int32(want.Level))
		}
	}
	if threshold == 0 && !d.takeover {
		threshold = defaultThreshold
	}
	d.threshold, d.bits = threshold, bits
	d.enc.Init(bits, d.takeover)
	return d
}

// bitsOr returns n, the default if n is 0, or the window nearest to n.
func bitsOr(n, byDefault int) int {
	if n == 0 {
		return byDefault
	}
	return min(max(n, deflate.MinBits), deflate.MaxBits)
}

// enabled reports whether messages are compressed at all. Control frames never
// are (section 6.1). d may be nil.
func (d *deflater) enabled(opcode int) bool {
	return d != nil && !isControl(opcode) && !d.off.Load() && d.level.Load() != 0
}

// wants reports whether a message of so many bytes is to be compressed.
func (d *deflater) wants(opcode, length int) bool {
	return d.enabled(opcode) && length > 0 && length >= d.threshold
}

func (d *deflater) effort() deflate.Level { return deflate.LevelOf(int(d.level.Load())) }

// Of messages that do not shrink, pictures say, some are not even tried: after
// fewMisses in a row one, then two, then four, up to 1<<maxDoublings.
const (
	fewMisses    = 8
	maxDoublings = 6
)

// skips reports whether the next message is not even tried, and counts it.
func (l *luck) skips() bool {
	if l.skipping == 0 {
		return false
	}
	l.skipping--
	return true
}

// tried notes how it went.
func (l *luck) tried(shrunk bool) {
	if shrunk {
		l.misses = 0
		return
	}
	l.misses = min(l.misses+1, fewMisses+maxDoublings)
	if l.misses >= fewMisses {
		l.skipping = 1 << (l.misses - fewMisses)
	}
}

// message appends the compressed form of p to dst, if that is shorter than p.
func (d *deflater) message(dst, p []byte) (out []byte, ok bool) {
	l := d.luckOf(len(p))
	if l.skips() {
		return dst, false
	}
	d.note()
	out, ok = d.enc.AppendMessage(dst, p, d.effort())
	l.tried(ok)
	return out, ok
}

// borrowFor returns memory for a message of so many bytes that is compressed
// behind room for a header.
func borrowFor(length int) *buffer {
	const slack = 32 // bytes that the codec wants besides
	return borrowBuffer(maxHeader + min(length, maxPooled/2) + slack)
}

// begins reports whether a message that is written piece by piece, and whose first
// piece has so many bytes, is compressed.
func (d *deflater) begins(length int) bool {
	return length >= d.threshold && !d.luckOf(length).skips()
}

// first appends the first piece of a message that is sent in fragments.
func (d *deflater) first(dst, p []byte) []byte {
	start := len(dst)
	dst = d.piece(dst, p, false)
	d.luckOf(len(p)).tried(len(dst)-start < len(p))
	return dst
}

// piece appends the next piece.
func (d *deflater) piece(dst, p []byte, last bool) []byte {
	d.note()
	dst = d.enc.Append(dst, p, d.effort())
	if last {
		dst = d.enc.AppendEnd(dst)
	}
	return dst
}

// form is all that the compressed form of a message depends on when it refers to
// no other message. Every connection with the same form may be sent it.
type form struct {
	bits  int
	level deflate.Level
}

func (d *deflater) form() form { return form{d.bits, d.effort()} }

// message appends the compressed form of p to dst, if that is shorter than p.
func (f form) message(dst, p []byte) (out []byte, ok bool) {
	var enc deflate.Deflater
	enc.Init(f.bits, false)
	return enc.AppendMessage(dst, p, f.level)
}

// sent notes that p was sent as form has it.
func (d *deflater) sent(p []byte) {
	d.note()
	d.enc.Learn(p)
}

// forget gives the history up.
func (d *deflater) forget() { d.enc.Release() }

// note is called when the history comes into use.
func (d *deflater) note() {
	if d.takeover {
		d.usage.note()
	}
}

// An inflater expands what a reader gets. It is used by whoever has the reader's
// turn.
type inflater struct {
	takeover bool       // the peer's window outlives its messages
	mu       sync.Mutex // held while a message is under way
	dec      deflate.Inflater
	messages int // that the peer has sent, up to fewMessages
	usage    usage
}

// fewMessages is how many compressed messages a peer has to send without reaching
// back before its promise to do so is believed.
const fewMessages = 8

// newInflater returns the inflater of the server or the client.
func newInflater(agreed Compression, server bool) *inflater {
	noTakeover, bits := agreed.ServerNoContextTakeover, agreed.ServerMaxWindowBits
	if server {
		noTakeover, bits = agreed.ClientNoContextTakeover, agreed.ClientMaxWindowBits
	}
	i := &inflater{takeover: !noTakeover}
	if noTakeover {
		// Clients are known that promise it and go on with their window all the
		// same, and with the largest.
		bits = deflate.MaxBits
	}
	i.dec.Init(bits)
	return i
}

// What a compressed message can do wrong.
var (
	errCorruptDeflate = &ProtocolError{CloseInvalidFramePayloadData, "compressed data is corrupt"}
	errEmptyBlocks    = &ProtocolError{ClosePolicyViolation, "too many empty blocks in compressed data"}
)

// deflateTail is what a sender leaves out at the end of each message.
var deflateTail = []byte(deflate.Tail)

// begin takes the inflater for a message, which end or drop give back.
func (i *inflater) begin() {
	i.mu.Lock()
	if !i.takeover {
		i.usage.note()
	}
}

// end ends a message, which has given p since the last commit.
func (i *inflater) end(p []byte) error {
	i.dec.Commit(p)
	err := i.dec.End()
	i.messages = min(i.messages+1, fewMessages)
	i.mu.Unlock()
	return protocolErrorOf(err)
}

// commit takes note of what a message has given that expand is not shown again.
func (i *inflater) commit(p []byte) { i.dec.Commit(p) }

// endFragment takes note of the end of a fragment.
func (i *inflater) endFragment() { i.dec.EndFragment() }

// forget gives the history up unless the peer is known, or has to be expected, to
// refer to it. It reports whether it could: no message was under way.
func (i *inflater) forget() bool {
	if !i.mu.TryLock() {
		return false
	}
	defer i.mu.Unlock()
	if !i.takeover && !i.dec.Reached() && i.messages == fewMessages {
		i.dec.Forget()
	}
	return true
}

// drop ends a message that failed. There will be no other.
func (i *inflater) drop() {
	i.dec.Reset()
	i.dec.Forget()
	i.mu.Unlock()
}

// expand appends to dst, as far as there is room, what src expands to; dst[base:]
// is what the message has given since the last commit. full says that there is no
// room for what comes next.
func (i *inflater) expand(dst []byte, base int, src []byte) (out []byte, n int, full bool, err error) {
	out, n, err = i.dec.Inflate(dst, base, src)
	if err == io.ErrShortBuffer {
		return out, n, true, nil
	}
	return out, n, false, protocolErrorOf(err)
}

func protocolErrorOf(err error) error {
	switch err {
	case nil:
		return nil
	case deflate.ErrEmptyBlocks:
		return errEmptyBlocks
	}
	return errCorruptDeflate
}

// usage tells whether one direction was used since somebody asked last.
type usage struct {
	recent atomic.Bool
	wake   func() // called at the first use after a pause
}

func (u *usage) note() {
	if !u.recent.Load() && !u.recent.Swap(true) {
		u.wake()
	}
}

// since reports whether there was a use since the last call.
func (u *usage) since() bool { return u.recent.Swap(false) }
