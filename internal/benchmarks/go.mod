module github.com/duplexkit/websocket/internal/benchmarks

go 1.26.0

require github.com/duplexkit/websocket v0.0.0

require github.com/klauspost/compress v1.20.3

replace github.com/duplexkit/websocket => ../..
