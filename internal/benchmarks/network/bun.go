//go:build linux

package main

import (
	_ "embed"
	"os/exec"
)

//go:embed bun/server.js
var bunServer string

// bunRows is a server outside of Go, uWebSockets in C++ under Bun, where there is one.
func bunRows() []row {
	for _, name := range []string{"network/bun/node_modules/.bin/bun", "bun/node_modules/.bin/bun", "bun"} {
		if program, err := exec.LookPath(name); err == nil {
			return []row{{name: "bun", command: []string{program, "-e", bunServer}, echo: elsewhere, without: []string{"tls"}}}
		}
	}
	return nil
}
