package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// answer is how long an answer of NATS may take until the request is made again. While a
	// leader is elected there is none, and who asks meanwhile never gets one.
	answer = 2 * time.Second

	spare = 64 // MiB that an embedded server may use beside the stream

	// window is how long NATS knows the IDs of messages. A page that was cut off for longer
	// finds its message in the history, as a rule.
	window = 10 * time.Minute

	maxAge = 7 * 24 * time.Hour // of a message

	maxConsumers = 100_000 // rooms times nodes

	// greeting is how long NATS and we may take to make each other's acquaintance, TLS included.
	// The default of two seconds is too short for a machine that has just been started, and
	// does everything at once.
	greeting = 10 * time.Second
)

// bus is a node's way to NATS: a connection, and the server at its other end if that
// is in this process.
type bus struct {
	cfg      config
	nc       *nats.Conn
	js       jetstream.JetStream
	embedded *server.Server
	instance string // this process, unlike the node as it was before a restart
	user     string // for the embedded server, if it wants that
	password string
	temp     string        // a directory to remove
	failed   chan error    // the embedded server, or the connection, is no more
	closed   chan struct{} // the connection is
	state    atomic.Pointer[streamState]
}

// streamState is the stream as its leader had it when it was asked last.
type streamState struct {
	asked       time.Time // just before
	id          string    // which stream it is: one that was lost and made anew is another
	leader      string    // the NATS server that leads it
	first, last uint64    // places of the oldest message of all rooms, and of the latest there was
	full        bool      // or nearly so: the oldest messages may make room
}

func newBus(ctx context.Context, cfg config) (*bus, error) {
	b := &bus{cfg: cfg, instance: cfg.name + " " + rand.Text(), failed: make(chan error, 1), closed: make(chan struct{})}
	opts := []nats.Option{
		nats.Name(cfg.prefix + " " + cfg.name),
		nats.Timeout(greeting),
		nats.Dialer(&net.Dialer{Timeout: answer}), // a server that is not there soon is not: on to the next
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.PingInterval(5 * time.Second), // finds out within 15 s that the network is gone
		nats.NoEcho(),                      // of what it says about people itself
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Printf("NATS is out of reach: %v", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Printf("NATS is back, at %s", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Printf("NATS: %v", err) }),
		nats.ClosedHandler(func(nc *nats.Conn) {
			if err := nc.LastError(); err != nil {
				b.fail(fmt.Errorf("NATS has closed the connection: %w", err))
			}
			close(b.closed)
		}),
	}
	urls := strings.Join(cfg.nats, ",")
	if len(cfg.nats) == 0 {
		if err := b.embed(ctx); err != nil {
			return nil, errors.Join(err, b.end())
		}
		opts = append(opts, nats.InProcessServer(b.embedded), nats.UserInfo(b.user, b.password))
	} else {
		if cfg.ca != "" {
			opts = append(opts, nats.RootCAs(cfg.ca))
		}
		if cfg.cert != "" {
			opts = append(opts, nats.ClientCert(cfg.cert, cfg.key))
		}
	}
	if cfg.creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.creds))
	}
	var err error
	if b.nc, err = nats.Connect(urls, opts...); err != nil {
		return nil, errors.Join(fmt.Errorf("NATS: %w", err), b.end())
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(answer)); err != nil {
		return nil, errors.Join(err, b.end())
	}
	return b, nil
}

// embed starts a nats-server in this process. Our own connection to it is no socket.
func (b *bus) embed(ctx context.Context) error {
	opts := &server.Options{DontListen: true, ServerName: b.cfg.name, JetStream: true, StoreDir: b.cfg.dir}
	if b.cfg.configFile != "" {
		var err error
		if opts, err = server.ProcessConfigFile(b.cfg.configFile); err != nil {
			return fmt.Errorf("-config: %w", err)
		}
		if !opts.JetStream {
			return fmt.Errorf("-config: %s does not enable jetstream", b.cfg.configFile)
		}
		b.user, b.password = opts.Username, opts.Password
	} else {
		opts.AuthTimeout = greeting.Seconds()
		// Left to itself the server takes a part of what this machine has, which may be less
		// than the stream wants.
		opts.JetStreamMaxMemory = int64(b.cfg.size+spare) << 20
		opts.JetStreamMaxStore = int64(b.cfg.size+spare) << 20
		if b.cfg.storage == jetstream.FileStorage {
			// A message that was confirmed is on the disk, not in the memory of the operating
			// system: it would be lost with the power.
			opts.SyncAlways = true
		}
		if opts.StoreDir == "" {
			var err error
			if b.temp, err = os.MkdirTemp("", "cluster-"); err != nil {
				return err
			}
			opts.StoreDir = b.temp
		}
		if b.cfg.cluster != "" {
			if strconv.IntSize < 64 {
				return err32
			}
			host, port, err := net.SplitHostPort(b.cfg.cluster)
			if err != nil {
				return fmt.Errorf("-cluster: %w", err)
			}
			// A server with routes has to listen for clients as well. It does where no
			// machine but this one can come, and lets in who knows what only we do.
			opts.DontListen, opts.Host, opts.Port = false, "127.0.0.1", server.RANDOM_PORT
			b.password = rand.Text()
			opts.CustomClientAuthentication = secret(b.password)
			opts.Cluster.Name = b.cfg.prefix
			opts.Cluster.Host = host
			if opts.Cluster.Port, err = strconv.Atoi(port); err != nil {
				return fmt.Errorf("-cluster: %w", err)
			}
			opts.Cluster.AuthTimeout = greeting.Seconds()
			if b.cfg.secret != "" {
				p, err := os.ReadFile(b.cfg.secret)
				if err != nil {
					return fmt.Errorf("-secret: %w", err)
				}
				opts.Cluster.Username, opts.Cluster.Password = "route", strings.TrimSpace(string(p))
				if opts.Cluster.Password == "" {
					return fmt.Errorf("-secret: %s is empty", b.cfg.secret)
				}
			}
		}
		for _, route := range b.cfg.routes {
			u, err := url.Parse(route)
			if err != nil || u.Host == "" {
				return fmt.Errorf("-routes are as nats://host:port, not %q", route)
			}
			if opts.Cluster.Password != "" {
				u.User = url.UserPassword(opts.Cluster.Username, opts.Cluster.Password)
			}
			opts.Routes = append(opts.Routes, u)
		}
	}
	opts.NoSigs = true              // they are ours to handle
	opts.ReconnectErrorReports = 60 // one try in so many
	var err error
	if b.embedded, err = server.NewServer(opts); err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	b.embedded.SetLoggerV2(natsLog{b}, false, false, false)
	b.embedded.Start()
	for range 300 {
		select {
		case err := <-b.failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if b.embedded.ReadyForConnections(100 * time.Millisecond) {
			return nil
		}
	}
	return errors.New("nats-server does not start")
}

// err32 spares people a panic (v2.15.2: unaligned 64-bit atomic operation).
var err32 = errors.New("nats-server forms no cluster on 32-bit machines; use one elsewhere, by -nats")

// secret is a password that clients have to show.
type secret string

func (s secret) Check(c server.ClientAuthentication) bool {
	return subtle.ConstantTimeCompare([]byte(c.GetOpts().Password), []byte(s)) == 1
}

// natsLog passes on what the embedded server complains of.
type natsLog struct{ b *bus }

func (natsLog) Noticef(string, ...any)            {}
func (natsLog) Debugf(string, ...any)             {}
func (natsLog) Tracef(string, ...any)             {}
func (natsLog) Warnf(format string, args ...any)  { complain(format, args...) }
func (natsLog) Errorf(format string, args ...any) { complain(format, args...) }
func (l natsLog) Fatalf(format string, args ...any) {
	l.b.fail(fmt.Errorf("nats-server: "+format, args...))
}

func complain(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	for _, start := range usual {
		if strings.HasPrefix(s, start) {
			return
		}
	}
	log.Print("nats-server: ", s)
}

// usual is what a server says while others start or end, or that is no complaint.
var usual = []string{
	"Error trying to connect to route (attempt 1)",
	"Waiting for routing to be established",
	"JetStream has not established contact with a meta leader",
	"Metalayer blocking snapshot",
}

func (b *bus) fail(err error) {
	select {
	case b.failed <- err:
	default: // one error is enough
	}
}

// end sends what is left to send, hands leadership over to other servers and ends.
func (b *bus) end() error {
	var err error
	if b.nc != nil {
		if err = b.nc.Drain(); err == nil {
			select {
			case <-b.closed:
			case <-time.After(farewell):
				b.nc.Close()
			}
		} else {
			b.nc.Close() // it has no connection to drain
			err = nil
		}
	}
	if b.embedded != nil {
		b.embedded.Shutdown()
		b.embedded.WaitForShutdown()
	}
	if b.temp != "" {
		err = errors.Join(err, os.RemoveAll(b.temp))
	}
	return err
}

func (b *bus) subject(kind, room string) string {
	// Room names are of any script. A subject has words between dots.
	return b.cfg.prefix + "." + kind + "." + base64.RawURLEncoding.EncodeToString([]byte(room))
}

// stream makes the stream unless it is there, and returns its state. It asks the stream's
// leader, so an answer means that there is one.
func (b *bus) stream(ctx context.Context) (*streamState, error) {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	asked := time.Now()
	s, err := b.js.Stream(ctx, b.cfg.prefix)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = b.configure(ctx)
	}
	if err != nil {
		return nil, err
	}
	info := s.CachedInfo()
	now := &streamState{
		asked: asked,
		id:    strconv.FormatInt(info.Created.UnixNano(), 36),
		first: info.State.FirstSeq,
		last:  info.State.LastSeq,
		full:  info.State.Bytes >= uint64(b.cfg.size)<<20/4*3,
	}
	if info.Cluster != nil {
		now.leader = info.Cluster.Leader
	}
	return now, nil
}

// configure makes the stream, or has it as the flags want it.
func (b *bus) configure(ctx context.Context) (jetstream.Stream, error) {
	cfg := jetstream.StreamConfig{
		Name:              b.cfg.prefix,
		Description:       "what was said in the rooms of the chat",
		Subjects:          []string{b.cfg.prefix + ".said.*"},
		Storage:           b.cfg.storage,
		Replicas:          b.cfg.replicas,
		MaxMsgsPerSubject: int64(b.cfg.kept()),
		MaxAge:            maxAge,
		MaxBytes:          int64(b.cfg.size) << 20, // the oldest messages make room
		Duplicates:        window,
		MaxConsumers:      maxConsumers, // without, a server allows a thousand, those of all nodes together
	}
	s, err := b.js.CreateOrUpdateStream(ctx, cfg)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeMaximumConsumersLimit {
		cfg.MaxConsumers = 0 // the account has a limit of its own, which counts then
		s, err = b.js.CreateOrUpdateStream(ctx, cfg)
	}
	return s, err
}

// kept is how many messages of a room the stream keeps. It drops the oldest for a new one whether
// or not the nodes have read it, so these are more than the history: a node that is behind
// by a burst finds all of it.
func (c config) kept() int { return 2*c.history + 2000 }

// permanent reports whether NATS will refuse the stream again and again.
func permanent(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
	}
	// "No suitable peers" and "insufficient resources" pass when all servers have come.
	return api.Code >= 400 && api.Code < 500 && api.ErrorCode != noSuitablePeers || api.ErrorCode == noCluster
}

// Error codes of JetStream that jetstream has no name for.
const (
	noSuitablePeers jetstream.ErrorCode = 10005
	noCluster       jetstream.ErrorCode = 10074
)

// publish has the stream keep m, and returns when it does: with several replicas, when
// most of them have it. The same message again is confirmed and not kept twice.
func (b *bus) publish(ctx context.Context, room string, m message) error {
	p, err := json.Marshal(m)
	if err != nil {
		return err
	}
	id := sha256.Sum256([]byte(room + "\n" + m.Name + "\n" + m.ID))
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	_, err = b.js.PublishMsg(ctx, &nats.Msg{Subject: b.subject("said", room), Data: p},
		jetstream.WithMsgID(base64.RawURLEncoding.EncodeToString(id[:])),
		jetstream.WithExpectStream(b.cfg.prefix))
	return err
}

// latest returns the place of a room's latest message, and 0 if there is none.
func (b *bus) latest(ctx context.Context, room string) (uint64, error) {
	return b.find(ctx, map[string]any{"last_by_subj": b.subject("said", room)})
}

// oldest returns the place of a room's oldest message from this place on, and 0 if there is none.
func (b *bus) oldest(ctx context.Context, room string, from uint64) (uint64, error) {
	return b.find(ctx, map[string]any{"next_by_subj": b.subject("said", room), "seq": from})
}

// find returns the place of a message. The answer is that of the stream's leader, which the
// methods of jetstream do not promise: they take the answer of any server where the stream
// allows that.
func (b *bus) find(ctx context.Context, what map[string]any) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	ask, err := json.Marshal(what)
	if err != nil {
		return 0, err
	}
	m, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+b.cfg.prefix, ask)
	if err != nil {
		return 0, err
	}
	var got struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &got); err != nil {
		return 0, err
	}
	if got.Error != nil && got.Error.ErrorCode != jetstream.JSErrCodeMessageNotFound {
		return 0, got.Error
	}
	return got.Message.Seq, nil
}

var (
	// errGap is that of a consumer that has lost a message on the way.
	errGap = errors.New("a message is missing")

	// errMissed is that of a reader that is so far behind that the stream may have dropped what
	// comes next. To read on does not mend that.
	errMissed = errors.New("the next messages may be gone")

	// errHole is that of a reader that finds it out later: something may be missing between
	// messages that it has handed over.
	errHole = errors.New("messages may have gone before they were read")
)

// A reader reads a room, by one consumer after the other. It knows up to where nothing was missed.
//
// A consumer passes over what the stream has dropped, and says nothing. There are two ways to
// be dropped. A room has too many messages: then all that are left are newer, and the
// first of them that is read has as many behind it. Or the stream has too many, of all rooms:
// then what is left begins after what was read, which is seen by the state of the
// stream, once a second. In a room where little is said that is so after a time although nothing
// was missed. Hence, when half the stream is newer, the consumer is asked whether it has come as far.
type reader struct {
	bus          *bus
	room, stream string
	handle       func(*jetstream.MsgMetadata, []byte)
	caughtUp     func(first uint64) // when all is read that was there; the stream begins at first

	last     uint64    // place of the latest message that was handled
	complete uint64    // up to here, nothing was missed
	next     uint64    // and up to here, if nothing was dropped from complete
	until    time.Time // until this time
	ready    bool      // caughtUp was called
}

// read hands over the messages of the room, from where it was, in order and with none missing,
// until ctx ends or something goes wrong. Then it is for the caller to read again, or after
// errMissed and errHole to begin anew.
//
// It is what jetstream.OrderedConsumer does too; but that waits ten seconds
// for a leader that has died, goes on at the same place in a stream that was made anew, and
// passes over what the stream has dropped.
func (r *reader) read(ctx context.Context) error {
	b := r.bus
	begin, err := b.stream(ctx)
	if err != nil {
		return err
	}
	if begin.id != r.stream {
		return errors.New("the stream is another one")
	}
	// The consumer may be at a server that has just been started, which gets the messages from
	// the leader itself and would say that there are none. So it is not asked.
	latest, err := b.latest(ctx, r.room)
	if err != nil {
		return err
	}
	if r.last > 0 && latest > r.last {
		// Such a server does not have what was dropped before either, and would not tell how much
		// that is. But then what was read last was dropped as well, and that not because it is old.
		oldest, err := b.oldest(ctx, r.room, r.last)
		if err != nil {
			return err
		}
		old := begin.first > r.last && begin.first <= r.complete+1
		if oldest != r.last && !old {
			return errMissed
		}
	}
	asking, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	consumer, err := b.js.CreateConsumer(asking, b.cfg.prefix, jetstream.ConsumerConfig{
		FilterSubject:     b.subject("said", r.room),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.last + 1,
		AckPolicy:         jetstream.AckNonePolicy, // what is lost is read again from the stream
		Replicas:          1,
		MemoryStorage:     true,
		InactiveThreshold: 30 * time.Second, // after which NATS removes it, should it not hear from us
	})
	if err != nil {
		return err
	}
	// Nobody waits for the answer: there may be none.
	defer func() {
		_ = b.nc.PublishRequest("$JS.API.CONSUMER.DELETE."+b.cfg.prefix+"."+consumer.CachedInfo().Name, nats.NewInbox(), nil)
	}()
	messages, err := consumer.Messages(
		jetstream.PullExpiry(10*time.Second),
		jetstream.PullHeartbeat(time.Second), // and two seconds of silence are an error
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	defer messages.Stop()

	behind := true
	for n := uint64(0); ; {
		if behind && r.last >= latest {
			behind = false
			if err := r.isCaughtUp(ctx, begin); err != nil {
				return err
			}
		}
		m, err := next(ctx, messages)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			if behind {
				// What was to come may have become too old meanwhile.
				if latest, err = b.latest(ctx, r.room); err != nil {
					return err
				}
			} else if err := r.check(ctx, consumer, n); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		n++
		if meta.Sequence.Consumer != n {
			return errGap
		}
		if !r.ready && meta.NumPending >= uint64(b.cfg.history) {
			r.last = meta.Sequence.Stream // it is not of the last ones, and may be before a hole
			continue
		}
		// All that the stream keeps would be sure; but the number is of a moment ago.
		if r.ready && meta.NumPending >= uint64(b.cfg.kept()/4*3) {
			return errMissed
		}
		if !behind {
			if err := r.check(ctx, consumer, n-1); err != nil {
				return err
			}
		}
		r.handle(meta, m.Data())
		r.last = meta.Sequence.Stream
	}
}

// isCaughtUp is called when all is read that was there when reading began.
func (r *reader) isCaughtUp(ctx context.Context, begin *streamState) error {
	if r.ready {
		return nil
	}
	// What has been dropped meanwhile may have been dropped in the midst of reading.
	now, err := r.bus.stream(ctx)
	if err != nil {
		return err
	}
	r.complete = max(r.last, begin.last)
	r.next, r.until = r.complete, time.Now()
	r.ready = true
	r.caughtUp(now.first)
	return nil
}

// check finds out, when there is a new state of the stream, whether it has dropped messages that were
// not read. The consumer has delivered n messages.
func (r *reader) check(ctx context.Context, consumer jetstream.Consumer, n uint64) error {
	s := r.bus.state.Load()
	if s == nil || s.id != r.stream || !s.asked.After(r.until) {
		return nil
	}
	if s.full && s.first > r.complete+1 {
		return errHole
	}
	// Nothing after `complete` was dropped up to now, so what was read is all there was.
	r.complete = r.next
	r.next, r.until = max(r.complete, r.last), time.Now()
	if r.next < (s.first+s.last)/2 {
		asking, cancel := context.WithTimeout(ctx, answer)
		defer cancel()
		info, err := consumer.Info(asking)
		if err != nil {
			return err
		}
		if info.NumPending == 0 && info.Delivered.Consumer == n {
			r.next, r.until = max(r.next, s.last), time.Now()
		}
	}
	return nil
}

// next waits for the next message, but not for long.
func next(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	return messages.Next(jetstream.NextContext(ctx))
}
