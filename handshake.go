package websocket

// Negotiated is what an opening handshake agreed on.
type Negotiated struct {
	Server      bool         // which end of the connection we are
	Subprotocol string       // the subprotocol in use, "" is none (RFC 6455, section 1.9)
	Compression *Compression // the terms of permessage-deflate, nil is uncompressed
	Buffered    []byte       // bytes the peer sent right behind its handshake
}
