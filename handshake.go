package websocket

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The rules of the opening handshake, in the order in which a handshake meets
// them: the client's request, the server's judgement, the server's answer, the
// client's judgement. Nothing here does I/O; upgrade.go and dial.go do.

// protocolVersion is the only version that was ever final (RFC 6455, section 4.1).
const protocolVersion = "13"

// maxHandshake is the most that a peer may send as its part of the opening
// handshake, in bytes.
const maxHandshake = 64 << 10

// ErrBadHandshake is what Dial returns when the server's answer does not open a
// WebSocket. The *http.Response that comes with it says more. Use errors.Is: an
// answer with status 101 that breaks the protocol is told in a wrapping error.
var ErrBadHandshake = errors.New("websocket: bad handshake")

// HandshakeError says why a server refused an opening handshake. It is returned
// by value, can be compared, and always means that the request was still an
// ordinary HTTP request: it was not hijacked, and apart from the deprecated
// function Upgrade it was answered as such.
type HandshakeError struct {
	message string
}

// Error returns the reason of the refusal.
func (e HandshakeError) Error() string { return e.message }

// Negotiated is what an opening handshake agreed on.
type Negotiated struct {
	Server      bool         // which end of the connection we are
	Subprotocol string       // the subprotocol in use, "" is none (RFC 6455, section 1.9)
	Compression *Compression // what was agreed on permessage-deflate, nil is uncompressed; only context takeover and bits count, 0 bits are 15
	Buffered    []byte       // bytes the peer sent right behind its handshake
}

// refusal is a request judged and found wanting.
type refusal struct {
	status int
	reason HandshakeError
}

func (f *refusal) Error() string { return f.reason.Error() }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, HandshakeError{"websocket: " + fmt.Sprintf(format, args...)}}
}

// addTo puts into h what the answer has to say besides its status.
func (f *refusal) addTo(h http.Header) {
	h.Set("Sec-Websocket-Version", protocolVersion) // section 4.2.2, paragraph 4
	switch f.status {
	case http.StatusUpgradeRequired: // RFC 9110, sections 7.8 and 15.5.22
		h.Set("Upgrade", "websocket")
		h.Set("Connection", "Upgrade")
	case http.StatusMethodNotAllowed: // RFC 9110, section 15.5.6
		h.Set("Allow", http.MethodGet)
	}
}

// newChallengeKey returns a Sec-WebSocket-Key: "a nonce consisting of a randomly
// selected 16-byte value that has been base64-encoded" (section 4.1).
func newChallengeKey() string {
	var nonce [16]byte
	rand.Read(nonce[:])
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// validChallengeKey reports whether key is the base64 form of exactly 16 bytes.
func validChallengeKey(key string) bool {
	const encoded = 24
	if len(key) != encoded {
		return false
	}
	var nonce [encoded / 4 * 3]byte
	n, err := base64.StdEncoding.Decode(nonce[:], []byte(key))
	return err == nil && n == 16
}

// acceptKey returns the Sec-WebSocket-Accept that answers key (section 4.2.2,
// paragraph 5, item 4).
func acceptKey(key string) string {
	return string(appendAcceptKey(nil, key))
}

// appendAcceptKey appends the Sec-WebSocket-Accept that answers key.
func appendAcceptKey(dst []byte, key string) []byte {
	var b [64]byte // for a proper key
	sum := sha1.Sum(append(append(b[:0], key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// setOpening gives h the fields of a client's request (section 4.1) that offers
// permessage-deflate on these terms, nil for none. The fields are spelled as the
// RFC does, for servers that compare names byte by byte.
func setOpening(h http.Header, key string, t *terms) {
	h["Upgrade"] = []string{"websocket"}
	h["Connection"] = []string{"Upgrade"}
	h["Sec-WebSocket-Key"] = []string{key}
	h["Sec-WebSocket-Version"] = []string{protocolVersion}
	if t != nil {
		h["Sec-WebSocket-Extensions"] = []string{t.offer().String()}
	}
}

// setConnect is setOpening for an extended CONNECT (RFC 8441, sections 4 and 5).
func setConnect(h http.Header, t *terms) {
	h[":protocol"] = []string{"websocket"}
	h["Sec-WebSocket-Version"] = []string{protocolVersion}
	if t != nil {
		h["Sec-WebSocket-Extensions"] = []string{t.offer().String()}
	}
}

// hasUpgradeTokens reports whether h asks for or agrees to WebSocket. Both fields
// are lists, and intermediaries add to them (RFC 9110, sections 7.6.1 and 7.8).
func hasUpgradeTokens(h http.Header) bool {
	return httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") &&
		httpguts.HeaderValuesContainsToken(h["Upgrade"], "websocket")
}

// IsWebSocketUpgrade reports whether r asks to become a WebSocket, by HTTP/1.1
// Upgrade or by the extended CONNECT of HTTP/2 and HTTP/3 (RFC 8441, RFC 9220). It says
// nothing about the rest of the handshake, which Upgrade checks.
func IsWebSocketUpgrade(r *http.Request) bool {
	if protocol := extendedConnect(r); protocol != "" {
		return protocol == "websocket"
	}
	return hasUpgradeTokens(r.Header)
}

// extendedConnect returns the :protocol of an extended CONNECT request (RFC 8441,
// section 4), "" if r is none. net/http has it among the header fields, servers of HTTP/3
// in the place of the HTTP version.
func extendedConnect(r *http.Request) string {
	switch {
	case r.Method != http.MethodConnect:
	case r.ProtoMajor == 2 && len(r.Header[":protocol"]) == 1:
		return r.Header[":protocol"][0]
	case r.ProtoMajor == 3 && !strings.HasPrefix(r.Proto, "HTTP/"):
		return r.Proto
	}
	return ""
}

// checkConnect is checkOpening for an extended CONNECT with this protocol. There is no
// Connection, Upgrade or key: the framing of HTTP says what they would (RFC 8441,
// section 5).
func checkConnect(r *http.Request, protocol string) error {
	switch {
	case protocol != "websocket":
		return refuse(http.StatusNotImplemented, "extended CONNECT for %q, not for websocket", protocol) // RFC 9220, section 3
	case !slices.Equal(r.Header["Sec-Websocket-Version"], []string{protocolVersion}):
		return refuse(http.StatusBadRequest, "unsupported version: the Sec-WebSocket-Version header is not "+protocolVersion)
	case r.Host == "" || !httpguts.ValidHostHeader(r.Host):
		return refuse(http.StatusBadRequest, "missing or malformed :authority")
	case r.ContentLength >= 0:
		return refuse(http.StatusBadRequest, "the stream of an opening handshake has to stay open")
	}
	return nil
}

// Subprotocols returns the subprotocols that the client of r offers, the one it
// likes best first (RFC 6455, section 1.9), nil if there are none.
func Subprotocols(r *http.Request) []string {
	return listElements(r.Header["Sec-Websocket-Protocol"])
}

// checkOpening judges what a client's request must look like whatever the server
// makes of it (section 4.2.1).
func checkOpening(r *http.Request) error {
	const notWebSocket = "the client is not using the websocket protocol: "
	h := r.Header
	switch {
	case !httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade"):
		return refuse(http.StatusUpgradeRequired, notWebSocket+"no 'upgrade' token in the Connection header of an %s request", r.Proto)
	case !httpguts.HeaderValuesContainsToken(h["Upgrade"], "websocket"):
		return refuse(http.StatusUpgradeRequired, notWebSocket+"no 'websocket' token in the Upgrade header")
	case !r.ProtoAtLeast(1, 1): // "HTTP version is at least 1.1" (section 4.1, item 2)
		return refuse(http.StatusBadRequest, notWebSocket+"an %s request cannot be upgraded", r.Proto)
	case r.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, notWebSocket+"request method is not GET")
	case !slices.Equal(h["Sec-Websocket-Version"], []string{protocolVersion}):
		return refuse(http.StatusBadRequest, "unsupported version: the Sec-WebSocket-Version header is not "+protocolVersion)
	case r.Host == "" || !httpguts.ValidHostHeader(r.Host): // RFC 9112, section 3.2
		return refuse(http.StatusBadRequest, "missing or malformed Host header")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		// A body would be read as frames by us and as a body by others (request smuggling).
		return refuse(http.StatusBadRequest, "an opening handshake has no body")
	}
	return nil
}

// challengeKey returns the one valid Sec-WebSocket-Key of h (section 4.2.1, item 5).
func challengeKey(h http.Header) (string, error) {
	keys := h["Sec-Websocket-Key"]
	if len(keys) != 1 || !validChallengeKey(keys[0]) {
		return "", refuse(http.StatusBadRequest, "the Sec-WebSocket-Key header is not the base64 form of 16 bytes")
	}
	return keys[0], nil
}

// offers returns the extensions that a client offers. An offer that we cannot meet
// is declined, but one that breaks the grammar fails the handshake (section 9.1).
func offers(h http.Header) ([]extension, error) {
	return offersFor(h, true)
}

// offersFor is offers, or judges the offers' grammar alone.
func offersFor(h http.Header, keep bool) ([]extension, error) {
	extensions, err := scanExtensions(h["Sec-Websocket-Extensions"], keep)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "malformed Sec-WebSocket-Extensions header")
	}
	return extensions, nil
}

// chooseSubprotocol returns the first of ours, in order of preference, that the
// client offered, or "" (section 4.2.2, paragraph 5, item 5).
func chooseSubprotocol(ours, offered []string) string {
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}

// fieldValues returns the values of a field that a program may have spelled in
// any case.
func fieldValues(h http.Header, name string) []string {
	for k, vs := range h {
		if strings.EqualFold(k, name) {
			return vs
		}
	}
	return nil
}

// checkExtra judges the fields that a program wants in our answer.
func checkExtra(extra http.Header) error {
	if fieldValues(extra, "Sec-WebSocket-Extensions") != nil {
		return refuse(http.StatusInternalServerError, "extensions of the application's own in a response header are unsupported")
	}
	for k := range extra {
		if !httpguts.ValidHeaderFieldName(k) {
			return refuse(http.StatusInternalServerError, "malformed name %q in a response header", k)
		}
	}
	return nil
}

// appendAnswer appends the response that opens the connection (section 4.2.2) with
// what is said of subprotocol and extension, "" for nothing: some clients fail on
// an empty field. Fields of extra that are the handshake's own business, or that a 101 must not
// have (RFC 9110, section 8.6), are left out.
func appendAnswer(dst []byte, key, subprotocol, extension string, extra http.Header) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"...)
	dst = append(dst, "Sec-WebSocket-Accept: "...)
	dst = append(appendAcceptKey(dst, key), "\r\n"...)
	if subprotocol != "" {
		dst = appendField(dst, "Sec-WebSocket-Protocol", subprotocol)
	}
	if extension != "" {
		dst = appendField(dst, "Sec-WebSocket-Extensions", extension)
	}
	for k, vs := range extra {
		if isHandshakes(k) {
			continue
		}
		for _, v := range vs {
			dst = appendField(dst, k, v)
		}
	}
	return append(dst, "\r\n"...)
}

// isHandshakes reports whether a field of the answer is the handshake's own business, or
// one that the answer must not have.
func isHandshakes(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Upgrade", "Connection", "Sec-Websocket-Accept", "Sec-Websocket-Protocol", "Content-Length", "Transfer-Encoding":
		return true
	}
	return false
}

// isOfStream is isHandshakes for an answer whose body is the connection.
func isOfStream(name string) bool {
	switch name = http.CanonicalHeaderKey(name); name {
	case "Content-Encoding", "Trailer":
		return true
	}
	return isHandshakes(name) || strings.HasPrefix(name, http.TrailerPrefix)
}

// setAnswer is appendAnswer for an extended CONNECT, whose answer net/http writes. Fields
// that others have left in h go along, but none that would say something of the stream: a
// 2xx to a CONNECT has no length (RFC 9110, section 9.3.6).
func setAnswer(h http.Header, subprotocol, extension string, extra http.Header) {
	for k := range h {
		if k == "Sec-Websocket-Extensions" || isOfStream(k) {
			delete(h, k)
		}
	}
	for k, vs := range extra {
		if isOfStream(k) {
			continue
		}
		for _, v := range vs {
			h.Add(k, withoutControls(v))
		}
	}
	if subprotocol != "" {
		h.Set("Sec-Websocket-Protocol", subprotocol)
	}
	if extension != "" {
		h.Set("Sec-Websocket-Extensions", extension)
	}
}

// withoutControls is s with its control bytes blanked.
func withoutControls(s string) string {
	b := []byte(s)
	blankControls(b)
	return string(b)
}

// blankControls puts blanks in the place of control bytes, so that no value of a field can
// start a line of its own (response splitting).
func blankControls(value []byte) {
	for i, b := range value {
		if b < ' ' || b == 0x7f {
			value[i] = ' '
		}
	}
}

// appendField appends a header line. Control bytes in the value become blanks.
func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	start := len(dst)
	dst = append(dst, value...)
	blankControls(dst[start:])
	return append(dst, "\r\n"...)
}

// checkAnswer judges the server's response to a request that was sent with key
// and offered these subprotocols and permessage-deflate on these terms (section
// 4.1, after "Once the client's opening handshake has been sent"). It returns what
// was agreed on.
func checkAnswer(resp *http.Response, key string, offered []string, t *terms) (n Negotiated, err error) {
	h := resp.Header
	switch {
	case resp.StatusCode != http.StatusSwitchingProtocols:
		return n, ErrBadHandshake
	case resp.ProtoMajor != 1 || resp.ProtoMinor != 1:
		return n, badAnswer("101 in %s", resp.Proto)
	case !hasUpgradeTokens(h):
		return n, badAnswer("101 without Upgrade: websocket and Connection: Upgrade")
	case !slices.Equal(h["Sec-Websocket-Accept"], []string{acceptKey(key)}):
		return n, badAnswer("Sec-WebSocket-Accept does not answer our key")
	}
	return agreement(h, offered, t)
}

// checkConnected is checkAnswer for an extended CONNECT (RFC 8441, section 5).
func checkConnected(resp *http.Response, offered []string, t *terms) (n Negotiated, err error) {
	if resp.StatusCode/100 != 2 {
		return n, ErrBadHandshake
	}
	return agreement(resp.Header, offered, t)
}

// agreement returns what the fields of a server's answer agree to, whatever carried them.
func agreement(h http.Header, offered []string, t *terms) (n Negotiated, err error) {
	extensions, err := parseExtensions(h["Sec-Websocket-Extensions"])
	if err != nil {
		return n, badAnswer("malformed Sec-WebSocket-Extensions header")
	}
	if n.Compression, err = t.accept(extensions); err != nil {
		return n, badAnswer("%w", err)
	}
	switch chosen := h["Sec-Websocket-Protocol"]; {
	case len(chosen) == 0:
	case len(chosen) > 1:
		return n, badAnswer("more than one Sec-WebSocket-Protocol header")
	case !slices.Contains(offered, chosen[0]): // also a list, also one in another case
		return n, badAnswer("subprotocol %q was not offered", chosen[0])
	default:
		n.Subprotocol = chosen[0]
	}
	return n, nil
}

func badAnswer(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrBadHandshake}, args...)...)
}
