//go:build !purego

package xor

import (
	"testing"

	"github.com/duplexkit/websocket/internal/asmtest"
)

func TestCleanAVX(t *testing.T) { asmtest.RequireCleanAVX(t) }
