//go:build !linux

package websocket

import "errors"

// canPark says that no socket can wait without a goroutine here.
const canPark = false

type place struct{}

func (s *started) arm() error { return errors.ErrUnsupported }

func (s *started) quit() {}
