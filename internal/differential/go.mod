module github.com/duplexkit/websocket/internal/differential

go 1.26.0

replace github.com/duplexkit/websocket => ../..

require (
	github.com/duplexkit/websocket v0.0.0-00010101000000-000000000000
	github.com/gorilla/websocket v1.5.3
	github.com/stretchr/testify v1.12.1
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
