// Package wasmtest tests the package websocket where it is built for js/wasm, in hosts that
// have a WebSocket object: Node and Chromium.
//
// The tests of the files _js_test.go run in the host. TestNode and TestChromium, which run
// where the others of this module do, build them, start the host and are the server. What
// that does is in scripts_test.go, by name; a test in the host asks for a script by the path
// that it dials. Without the server, which a plain
//
//	GOOS=js GOARCH=wasm go test -exec="$(go env GOROOT)/lib/wasm/go_js_wasm_exec" .
//
// has not, those tests run that need none. To run some of the tests in the host:
//
//	go test -v -run TestChromium . -host.run TestServe
package wasmtest
