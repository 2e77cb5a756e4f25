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

const (
	maxRunning = 64  // calls of the other end at once on a connection
	maxID      = 256 // bytes of an id, which we keep and send back
)

// A Method answers a call. ctx ends with the connection, and when the caller loses interest.
type Method func(ctx context.Context, p *Peer, params json.RawMessage) (any, error)

// A Notice is what a notification is for. It runs on the goroutine that reads, for
// notifications come in an order: it must be quick, and must not Call.
type Notice func(p *Peer, params json.RawMessage) error

// Typed makes a Method of a function that has parameters and a result of its own types.
func Typed[P, R any](f func(ctx context.Context, p *Peer, params P) (R, error)) Method {
	return func(ctx context.Context, p *Peer, raw json.RawMessage) (any, error) {
		params, err := decode[P](raw)
		if err != nil {
			return nil, err
		}
		return f(ctx, p, params)
	}
}

// TypedNotice makes a Notice of a function that has parameters of its own type.
func TypedNotice[P any](f func(p *Peer, params P) error) Notice {
	return func(p *Peer, raw json.RawMessage) error {
		params, err := decode[P](raw)
		if err != nil {
			return err
		}
		return f(p, params)
	}
}

func decode[P any](raw json.RawMessage) (params P, err error) {
	if len(raw) == 0 {
		return params, nil
	}
	if err := json.Unmarshal(raw, &params); err != nil {
		return params, &Error{Code: CodeInvalidParams, Message: err.Error()}
	}
	return params, nil
}

// A Peer is one end of a connection on which both ends may call each other, any number of
// calls at once. Its methods may be called concurrently.
type Peer struct {
	c       *websocket.Conn
	methods map[string]Method
	notices map[string]Notice

	mu             sync.Mutex
	lastID         int64
	waiting        map[int64]chan<- message      // our calls, by their ids
	running        map[string]context.CancelFunc // the other end's, by theirs
	places         chan struct{}                 // one for each of those, until it is answered
	methodsRunning sync.WaitGroup

	complained sync.Once
}

// NewPeer returns a Peer on c, which answers calls by the methods and takes notifications by
// the notices. Calls of either side need somebody in Serve.
func NewPeer(c *websocket.Conn, methods map[string]Method, notices map[string]Notice) *Peer {
	return &Peer{
		c: c, methods: maps.Clone(methods), notices: maps.Clone(notices),
		waiting: make(map[int64]chan<- message),
		running: make(map[string]context.CancelFunc),
		places:  make(chan struct{}, maxRunning),
	}
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
	case len(m.ID) > maxID:
		return p.respond(nil, nil, &Error{Code: CodeInvalidRequest, Message: fmt.Sprintf("an id has %d bytes at most", maxID)})
	case m.Method == cancelMethod && m.ID == nil:
		_ = p.cancel(m.Params) // a notification has no answer
		return nil
	case m.Method == cancelMethod:
		return p.respond(m.ID, nil, p.cancel(m.Params))
	case m.Method != "" && m.ID == nil:
		p.notified(m)
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

// notified has the notice of a notification run. Methods are none: which of them can bear to
// run here is not for the other end to say.
func (p *Peer) notified(m message) {
	notice := p.notices[m.Method]
	if notice == nil {
		return // a notification has no answer, not even that (section 4.1)
	}
	if err := notice(p, m.Params); err != nil {
		p.complain("notification %q: %q", m.Method, err)
	}
}

// complain logs what the other end has done, once: it could go on for ever. What it says is
// to be quoted, lest it forges lines.
func (p *Peer) complain(format string, args ...any) {
	p.complained.Do(func() {
		log.Printf("%v: %s; more of that is not logged", p.c.RemoteAddr(), fmt.Sprintf(format, args...))
	})
}

// start runs the method of a call on a goroutine of its own. Its place is free when the
// answer is sent, and not before: else those who do not read would have answers pile up.
func (p *Peer) start(ctx context.Context, m message) error {
	method := p.methods[m.Method]
	if method == nil {
		return p.respond(m.ID, nil, &Error{Code: CodeMethodNotFound, Message: "there is no method " + strconv.Quote(m.Method)})
	}
	select {
	case p.places <- struct{}{}:
	default: // to wait here instead would keep answers from methods that wait for them
		return p.respond(m.ID, nil, &Error{Code: CodeBusy, Message: "too many calls at once"})
	}
	ctx, cancel := context.WithCancel(ctx)
	id := string(m.ID)
	p.mu.Lock()
	twice := p.running[id] != nil
	if !twice {
		p.running[id] = cancel
	}
	p.mu.Unlock()
	if twice {
		cancel()
		<-p.places
		return p.respond(m.ID, nil, &Error{Code: CodeInvalidRequest, Message: "a call with this id is running"})
	}
	p.methodsRunning.Go(func() {
		defer func() { <-p.places }()
		result, err := method(ctx, p, m.Params)
		canceled := ctx.Err() != nil
		p.mu.Lock()
		delete(p.running, id) // before the answer, after which the id may be used again
		p.mu.Unlock()
		cancel()
		if err != nil && canceled {
			err = &Error{Code: CodeCanceled, Message: "canceled"}
		}
		// If this fails, the connection has: Serve returns why.
		if err := p.respond(m.ID, result, err); err != nil && p.c.Context().Err() == nil {
			p.complain("%q was not answered: %q", m.Method, err)
		}
	})
	return nil
}

// cancel ends the context of a method, if it still runs.
func (p *Peer) cancel(params json.RawMessage) error {
	call, err := decode[cancelParams](params)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if cancel := p.running[string(call.ID)]; cancel != nil {
		cancel()
	}
	return nil
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
			log.Printf("%v: call %q: %q", p.c.RemoteAddr(), m.ID, err)
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
	case err != nil && m.Error != nil:
		p.complain("it did not understand us: %q", m.Error)
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
