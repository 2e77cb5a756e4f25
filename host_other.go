//go:build !js

package websocket

// Connections by the WebSocket object of a JavaScript host are in host_js.go, and Dial there in
// dial_js.go; all other files are the same everywhere. On other systems there are no such
// connections, and what asks for them is empty and inlined.
//
// Who changes a method of Conn that sends something asks refuses first, and who adds an
// option to Dialer adds it to checkHost, if a browser can't do it. .ci/wasm runs the tests in
// internal/wasmtest.

func (s *socket) hosted() bool { return false }

func (s *socket) refuses(int, []byte) error { return nil }

func hostRefuses(int, []byte) error { return nil }

func (s *socket) unsent() error { return nil }

func (s *socket) amend(*Stats) {}

func (c *Conn) adapt() {}
