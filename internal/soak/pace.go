package main

import (
	"context"
	"sync"
	"time"
)

// A pace bounds a rate, of whatever, over all who share it.
type pace struct {
	rate int // a second

	mu   sync.Mutex
	next time.Time // when more may come; guarded by mu
}

const slack = 20 * time.Millisecond // what nobody has asked for is there to be had for so long

// take waits until n more are due. It returns false if ctx ends first.
func (p *pace) take(ctx context.Context, n int) bool {
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-slack); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	wait := p.next.Sub(now)
	p.mu.Unlock()
	return pause(ctx, wait)
}

// pause waits for d. It returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
