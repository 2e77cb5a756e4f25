module github.com/duplexkit/websocket

go 1.26.0
