module github.com/duplexkit/websocket/examples/http2

go 1.26.0

replace (
	github.com/duplexkit/websocket => ../..
	github.com/duplexkit/websocket/http3 => ../../http3
)
