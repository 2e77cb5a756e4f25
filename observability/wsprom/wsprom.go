// Package wsprom counts what WebSocket connections do in metrics for Prometheus.
//
//	m, err := wsprom.New(prometheus.DefaultRegisterer)
//	if err != nil {
//		log.Fatal(err)
//	}
//	upgrader := websocket.Upgrader{Options: websocket.Options{Trace: m.Server()}}
//	dialer := websocket.Dialer{Options: websocket.Options{Trace: m.Client()}}
//
// All names begin with websocket_. Each metric has the label role, which is server or
// client: the end that we are. Sizes are in bytes and times in seconds, as is the custom.
//
//	websocket_handshakes_total{outcome}             opened, refused (by us or the server), failed
//	websocket_handshake_duration_seconds            histogram
//	websocket_connections                           open now
//	websocket_messages_total{direction,type}        direction is read or written, type text or binary
//	websocket_message_size_bytes{direction}         histogram of payloads, before compression and after inflation
//	websocket_message_wait_seconds{direction}       histogram: see websocket.MessageInfo
//	websocket_frames_total{direction,opcode}        opcode is continuation, text, binary, close, ping, pong or reserved
//	websocket_wire_bytes_total{direction}           of messages with their headers, after compression
//	websocket_ping_duration_seconds                 histogram of round trips
//	websocket_closes_total{by,code}                 by is us, peer, rule or network; code is other outside of 1000 to 1015
//	websocket_dropped_messages_total                that slow peers have missed: added when the connection ends
//
// To tell kinds of connections apart, register them apart, with a label of your own:
//
//	chat, err := wsprom.New(prometheus.WrapRegistererWith(prometheus.Labels{"endpoint": "chat"}, reg))
//
// dashboard.json, beside this file, is a dashboard for Grafana.
package wsprom

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/observability/internal/names"
)

// Metrics are the metrics of any number of connections. They may be used concurrently.
type Metrics struct {
	handshakes  *prometheus.CounterVec
	handshake   *prometheus.HistogramVec
	connections *prometheus.GaugeVec
	messages    *prometheus.CounterVec
	sizes       *prometheus.HistogramVec
	waits       *prometheus.HistogramVec
	frames      *prometheus.CounterVec
	wire        *prometheus.CounterVec
	pings       *prometheus.HistogramVec
	closes      *prometheus.CounterVec
	dropped     *prometheus.CounterVec
}

// New registers the metrics with reg. It fails if they are registered there already.
func New(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "websocket", Name: name, Help: help}, append([]string{"role"}, labels...))
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "websocket", Name: name, Help: help, Buckets: buckets}, append([]string{"role"}, labels...))
	}
	times := prometheus.ExponentialBuckets(100e-6, 4, 10) // 100 µs to 26 s
	m := &Metrics{
		handshakes: counter("handshakes_total", "Opening handshakes.", "outcome"),
		handshake:  histogram("handshake_duration_seconds", "How long opening handshakes took.", times),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "websocket", Name: "connections", Help: "Connections that are open.",
		}, []string{"role"}),
		messages: counter("messages_total", "Messages.", "direction", "type"),
		sizes:    histogram("message_size_bytes", "Payload of messages, uncompressed.", prometheus.ExponentialBuckets(16, 8, 8), "direction"), // to 32 MiB
		waits:    histogram("message_wait_seconds", "How long messages waited to be read, or to be written.", times, "direction"),
		frames:   counter("frames_total", "Frames.", "direction", "opcode"),
		wire:     counter("wire_bytes_total", "Bytes of messages on the wire.", "direction"),
		pings:    histogram("ping_duration_seconds", "Round trips of pings.", times),
		closes:   counter("closes_total", "Connections that have ended.", "by", "code"),
		dropped:  counter("dropped_messages_total", "Messages that were dropped for peers that read too slowly."),
	}
	var registered []prometheus.Collector
	for _, c := range []prometheus.Collector{
		m.handshakes, m.handshake, m.connections, m.messages, m.sizes, m.waits, m.frames, m.wire, m.pings, m.closes, m.dropped,
	} {
		if err := reg.Register(c); err != nil {
			for _, c := range registered {
				reg.Unregister(c)
			}
			return nil, err
		}
		registered = append(registered, c)
	}
	return m, nil
}

// Server returns a Trace for Upgraders, and for NewConn at the server's end.
func (m *Metrics) Server() *websocket.Trace { return m.trace("server") }

// Client returns a Trace for Dialers, and for NewConn at the client's end.
func (m *Metrics) Client() *websocket.Trace { return m.trace("client") }

func (m *Metrics) trace(role string) *websocket.Trace {
	handshake := m.handshake.WithLabelValues(role)
	connections := m.connections.WithLabelValues(role)
	pings := m.pings.WithLabelValues(role)
	dropped := m.dropped.WithLabelValues(role)
	return &websocket.Trace{
		Handshake: func(h websocket.HandshakeInfo) {
			m.handshakes.WithLabelValues(role, names.Outcome(h)).Inc()
			handshake.Observe(h.Duration.Seconds())
		},
		Opened:         func(*websocket.Conn) { connections.Inc() },
		FrameRead:      m.framesOf(role, "read"),
		FrameWritten:   m.framesOf(role, "written"),
		MessageRead:    m.messagesOf(role, "read"),
		MessageWritten: m.messagesOf(role, "written"),
		Pong:           func(_ *websocket.Conn, rtt time.Duration) { pings.Observe(rtt.Seconds()) },
		Closed: func(c *websocket.Conn, e websocket.CloseInfo) {
			connections.Dec()
			m.closes.WithLabelValues(role, e.By.String(), code(e.Code)).Inc()
			if n := c.Stats().Dropped; n > 0 {
				dropped.Add(float64(n))
			}
		},
	}
}

// code is a close code as a label. Peers may send a thousand of them, and a metric is kept
// for each.
func code(c int) string {
	if !names.CodeKnown(c) {
		return "other"
	}
	return strconv.Itoa(c)
}

// framesOf counts frames with the counters at hand: to look them up takes longer than to
// read a small frame.
func (m *Metrics) framesOf(role, direction string) func(*websocket.Conn, websocket.FrameHeader) {
	var counters [len(names.Opcodes)]prometheus.Counter
	for opcode, name := range names.Opcodes {
		counters[opcode] = m.frames.WithLabelValues(role, direction, name)
	}
	return func(_ *websocket.Conn, h websocket.FrameHeader) { counters[h.Opcode].Inc() }
}

func (m *Metrics) messagesOf(role, direction string) func(*websocket.Conn, websocket.MessageInfo) {
	text, binary := m.messages.WithLabelValues(role, direction, "text"), m.messages.WithLabelValues(role, direction, "binary")
	sizes, waits := m.sizes.WithLabelValues(role, direction), m.waits.WithLabelValues(role, direction)
	wire := m.wire.WithLabelValues(role, direction)
	return func(_ *websocket.Conn, info websocket.MessageInfo) {
		messages := text
		if info.Type == websocket.BinaryMessage {
			messages = binary
		}
		messages.Inc()
		sizes.Observe(float64(info.Payload))
		waits.Observe(info.Wait.Seconds())
		wire.Add(float64(info.Wire))
	}
}
