package websocket

import "net/http"

// Compression holds the terms of permessage-deflate (RFC 7692).
type Compression struct {
	Level     int // 0 is the default level, which is fast
	Threshold int // smallest message worth compressing, in bytes; 0 is all with context takeover and 256 without, negative is all

	ServerNoContextTakeover bool // RFC 7692, section 7.1.1.1
	ClientNoContextTakeover bool // RFC 7692, section 7.1.1.2
	ServerMaxWindowBits     int  // RFC 7692, section 7.1.2.1; 0: a server answers 12
	ClientMaxWindowBits     int  // RFC 7692, section 7.1.2.2; 0: a client offers the bare parameter

	Decline func(r *http.Request) bool // server: refuse the offer of a client known to be broken
}
