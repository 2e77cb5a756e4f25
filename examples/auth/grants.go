package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// A grant lets whoever has its secret in: the session of a browser, or the token of a program.
type grant struct {
	user    string
	by      string // what it is, for the log
	expires time.Time

	// ctx ends with the grant, and its cause tells why. What was let in by the grant goes by it.
	ctx context.Context
	end context.CancelCauseFunc
}

var (
	errExpired   = errors.New("expired")
	errLoggedOut = errors.New("logged out")
)

// grants are those of one kind. Sessions are kept apart from tokens: neither passes for the other.
type grants struct {
	kind string
	mu   sync.Mutex
	all  map[[sha256.Size]byte]*grant // by the hash of the secret, so that no look-up takes longer the more of it is right
}

// issue makes a grant and its secret, which is not kept. The grant ends with the context too.
func (g *grants) issue(ctx context.Context, user string, lasts time.Duration) (secret string, made *grant) {
	secret = rand.Text() // 130 random bits
	key := sha256.Sum256([]byte(secret))
	ctx, end := context.WithCancelCause(ctx)
	made = &grant{user: user, by: g.kind, expires: time.Now().Add(lasts), ctx: ctx, end: end}
	expiry := time.AfterFunc(lasts, func() { end(errExpired) })
	context.AfterFunc(ctx, func() {
		expiry.Stop()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.all, key)
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = make(map[[sha256.Size]byte]*grant)
	}
	g.all[key] = made
	return secret, made
}

// find returns the grant of a secret, or nil.
func (g *grants) find(secret string) *grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := g.all[sha256.Sum256([]byte(secret))]
	if found == nil || found.ctx.Err() != nil {
		return nil
	}
	return found
}
