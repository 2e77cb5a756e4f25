//go:build !purego

package utf8

import (
	"testing"

	"github.com/duplexkit/websocket/internal/asmtest"
)

func TestCleanAVX(t *testing.T) { asmtest.RequireCleanAVX(t) }
