module github.com/duplexkit/websocket/internal/features

go 1.26.0

replace (
	github.com/duplexkit/websocket => ../..
	github.com/duplexkit/websocket/http3 => ../../http3
)

require (
	github.com/coder/websocket v1.8.15
	github.com/duplexkit/websocket v0.0.0-00010101000000-000000000000
	github.com/duplexkit/websocket/http3 v0.0.0-00010101000000-000000000000
	github.com/gobwas/httphead v0.1.0
	github.com/gobwas/ws v1.5.0
	github.com/gorilla/websocket v1.5.3
	github.com/lxzan/gws v1.10.2
	github.com/quic-go/quic-go v0.65.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/klauspost/compress v1.17.9 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
