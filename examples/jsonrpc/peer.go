package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/duplexkit/websocket"
)

// A message is a request, a notification, which is a request without an id, or a response
// (JSON-RPC 2.0, sections 4 and 5).
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"` // as it came: a number, a string or null
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

const version = "2.0"

// An Error is what a call is answered with if it fails. A method may return one; other
// errors stay here, and the caller is told of CodeInternal.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// The codes of JSON-RPC 2.0, section 5.1, and ours, from the range that is left to servers.
// Methods have all numbers above -32000 for their own.
const (
	CodeParse          = -32700 // not JSON
	CodeInvalidRequest = -32600 // JSON, and no request
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeBusy           = -32000 // too many calls are running
	CodeCanceled       = -32001 // by the caller
)

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// cancelMethod is a notification that the caller has lost interest in the answer. The names
// in rpc. are for such extensions (section 4.1).
const cancelMethod = "rpc.cancel"

type cancelParams struct {
	ID json.RawMessage `json:"id"`
}

// maxRunning is how many calls of the other end may run at once on a connection.
const maxRunning = 64

// A Method answers a call. ctx ends with the connection, and when the caller loses interest.
type Method func(ctx context.Context, p *Peer, params json.RawMessage) (any, error)

// Typed makes a Method of a function that has parameters and a result of its own types.
func Typed[P, R any](f func(ctx context.Context, p *Peer, params P) (R, error)) Method {
	return func(ctx context.Context, p *Peer, raw json.RawMessage) (any, error) {
		var params P
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &params); err != nil {
				return nil, &Error{Code: CodeInvalidParams, Message: err.Error()}
			}
		}
		return f(ctx, p, params)
	}
}

// A Peer is one end of a connection on which both ends may call each other, any number of
// calls at once. Its methods may be called concurrently.
type Peer struct {
	c       *websocket.Conn
	methods map[string]Method

	mu             sync.Mutex
	lastID         int64
	waiting        map[int64]chan<- message      // our calls, by their ids
	running        map[string]context.CancelFunc // the other end's, by theirs
	methodsRunning sync.WaitGroup
}

// NewPeer returns a Peer on c, which answers calls by the methods. Calls of either side need
// somebody in Serve.
func NewPeer(c *websocket.Conn, methods map[string]Method) *Peer {
	return &Peer{c: c, methods: maps.Clone(methods), waiting: make(map[int64]chan<- message), running: make(map[string]context.CancelFunc)}
}

// Serve reads messages until the connection or ctx ends, and returns why, nil if the other
// end closed in good order. All methods have returned by then.
func (p *Peer) Serve(ctx context.Context) error {
	defer p.methodsRunning.Wait()
	methodsCtx, cancel := context.WithCancel(p.c.Context())
	defer cancel()
	for {
		m, err := Receive[message](ctx, p.c)
		switch {
		case err == nil:
			err = p.handle(methodsCtx, m)
		case websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway):
			return nil
		case ctx.Err() != nil, p.c.Context().Err() != nil:
			return err
		case isSyntax(err):
			err = p.respond(nil, nil, &Error{Code: CodeParse, Message: "not JSON"})
		default: // of another form: a batch, too, which saves nothing here
			err = p.respond(nil, nil, &Error{Code: CodeInvalidRequest, Message: "not a request"})
		}
		if err != nil {
			return err
		}
	}
}

func isSyntax(err error) bool {
	var syntax *json.SyntaxError
	return errors.As(err, &syntax)
}

func (p *Peer) handle(ctx context.Context, m message) error {
	switch {
	case m.Version != version:
		return p.respond(nil, nil, &Error{Code: CodeInvalidRequest, Message: "not JSON-RPC 2.0"})
	case m.ID != nil && strings.IndexByte("[{tf", m.ID[0]) >= 0:
		return p.respond(nil, nil, &Error{Code: CodeInvalidRequest, Message: "an id is a number or a string"})
	case m.Method == cancelMethod:
		p.cancel(m.Params)
		return nil
	case m.Method != "" && m.ID == nil:
		p.notified(ctx, m)
		return nil
	case m.Method != "":
		return p.start(ctx, m)
	case m.Result != nil || m.Error != nil:
		p.answered(m)
		return nil
	default:
		return p.respond(m.ID, nil, &Error{Code: CodeInvalidRequest, Message: "neither a request nor a response"})
	}
}

// notified runs the method of a notification, on the goroutine that reads, for they come in
// an order. It must not take its time, and must not Call.
func (p *Peer) notified(ctx context.Context, m message) {
	method := p.methods[m.Method]
	if method == nil {
		return // a notification has no answer, not even that (section 4.1)
	}
	if _, err := method(ctx, p, m.Params); err != nil {
		log.Printf("%v: notification %s: %v", p.c.RemoteAddr(), m.Method, err)
	}
}

// start runs the method of a call on a goroutine of its own.
func (p *Peer) start(ctx context.Context, m message) error {
	method := p.methods[m.Method]
	if method == nil {
		return p.respond(m.ID, nil, &Error{Code: CodeMethodNotFound, Message: "there is no method " + strconv.Quote(m.Method)})
	}
	ctx, cancel := context.WithCancel(ctx)
	id := string(m.ID)
	p.mu.Lock()
	twice, busy := p.running[id] != nil, len(p.running) >= maxRunning
	if !twice && !busy {
		p.running[id] = cancel
	}
	p.mu.Unlock()
	switch {
	case twice:
		cancel()
		return p.respond(m.ID, nil, &Error{Code: CodeInvalidRequest, Message: "a call with this id is running"})
	case busy: // to wait here instead would keep answers from methods that wait for them
		cancel()
		return p.respond(m.ID, nil, &Error{Code: CodeBusy, Message: "too many calls at once"})
	}
	p.methodsRunning.Go(func() {
		result, err := method(ctx, p, m.Params)
		canceled := ctx.Err() != nil
		p.mu.Lock()
		delete(p.running, id)
		p.mu.Unlock()
		cancel()
		if err != nil && canceled {
			err = &Error{Code: CodeCanceled, Message: "canceled"}
		}
		// If this fails, the connection has: Serve returns why.
		if err := p.respond(m.ID, result, err); err != nil && p.c.Context().Err() == nil {
			log.Printf("%v: %s was not answered: %v", p.c.RemoteAddr(), m.Method, err)
		}
	})
	return nil
}

// cancel ends the context of a method.
func (p *Peer) cancel(params json.RawMessage) {
	var call cancelParams
	if json.Unmarshal(params, &call) != nil {
		return // a notification has no answer
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if cancel := p.running[string(call.ID)]; cancel != nil {
		cancel()
	}
}

// respond answers a call; a nil id is that of a call whose id is not known.
func (p *Peer) respond(id json.RawMessage, result any, err error) error {
	m := message{Version: version, ID: id}
	if id == nil {
		m.ID = json.RawMessage("null")
	}
	if err == nil {
		m.Result, err = json.Marshal(result)
	}
	if err != nil {
		m.Result = nil
		if !errors.As(err, &m.Error) {
			log.Printf("%v: call %s: %v", p.c.RemoteAddr(), m.ID, err)
			m.Error = &Error{Code: CodeInternal, Message: "internal error"}
		}
	}
	return Send(p.c, m)
}

// answered gives a response to the call that waits for it, if it still does.
func (p *Peer) answered(m message) {
	id, err := strconv.ParseInt(string(m.ID), 10, 64)
	p.mu.Lock()
	answer := p.waiting[id]
	delete(p.waiting, id)
	p.mu.Unlock()
	switch {
	case err != nil && m.Error != nil: // the other end did not understand us
		log.Printf("%v: %v", p.c.RemoteAddr(), m.Error)
	case answer != nil:
		answer <- m
	}
}

// Call calls a method of the other end and waits for its result, an *Error, or the end of
// ctx, of which the other end is told, or of the connection. params become the parameters:
// an array, or an object; nil is none.
//
// ctx does not interrupt the sending, for a message that breaks off ends the connection with
// all its other calls; Options.WriteTimeout bounds that.
func Call[R any](ctx context.Context, p *Peer, method string, params any) (result R, err error) {
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	answer := make(chan message, 1)
	p.mu.Lock()
	p.lastID++
	id := p.lastID
	p.waiting[id] = answer
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiting, id)
	}()

	rawID := json.RawMessage(strconv.FormatInt(id, 10))
	if err := p.send(rawID, method, params); err != nil {
		return result, err
	}
	var m message
	select {
	case m = <-answer:
	case <-ctx.Done():
		if err := p.Notify(cancelMethod, cancelParams{rawID}); err != nil {
			return result, errors.Join(context.Cause(ctx), err)
		}
		return result, context.Cause(ctx)
	case <-p.c.Context().Done():
		select {
		case m = <-answer: // came before the end
		default:
			return result, context.Cause(p.c.Context())
		}
	}
	if m.Error != nil {
		return result, m.Error
	}
	return result, json.Unmarshal(m.Result, &result)
}

// Notify calls a method of the other end that has no answer.
func (p *Peer) Notify(method string, params any) error { return p.send(nil, method, params) }

func (p *Peer) send(id json.RawMessage, method string, params any) error {
	m, err := request(id, method, params)
	if err != nil {
		return err
	}
	return Send(p.c, m)
}

func request(id json.RawMessage, method string, params any) (message, error) {
	m := message{Version: version, ID: id, Method: method}
	if params == nil {
		return m, nil
	}
	var err error
	m.Params, err = json.Marshal(params)
	return m, err
}
