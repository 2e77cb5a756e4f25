//go:build !js

package websocket

// Connections by the WebSocket object of a JavaScript host are in host_js.go. Elsewhere
// there are none, and what asks for them costs nothing.

func (s *socket) hosted() bool { return false }

func (s *socket) refuses(int, []byte) error { return nil }

func (s *socket) amend(*Stats) {}

func (c *Conn) adapt() {}
