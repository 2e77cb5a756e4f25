// Package wsotel tells OpenTelemetry what WebSocket connections do: in metrics, and in a
// span for each opening handshake, below that of the request or of the context given to
// Dial.
//
//	telemetry, err := wsotel.New(wsotel.Config{})
//	if err != nil {
//		log.Fatal(err)
//	}
//	upgrader := websocket.Upgrader{Options: websocket.Options{Trace: telemetry.Server()}}
//	dialer := websocket.Dialer{Options: websocket.Options{Trace: telemetry.Client()}}
//
// OpenTelemetry has no conventions for WebSocket yet; those for HTTP were the model. Each
// metric has the attribute websocket.role, which is server or client: the end that we are.
//
//	websocket.handshake.duration   histogram, s, by websocket.outcome: opened, refused or failed
//	websocket.connections          open now
//	websocket.message.size         histogram, By, of payloads before compression, by websocket.direction (read, written) and websocket.message.type (text, binary)
//	websocket.message.wait         histogram, s, by websocket.direction: see websocket.MessageInfo
//	websocket.frames               by websocket.direction and websocket.opcode
//	websocket.wire                 By, of messages with their headers, after compression, by websocket.direction
//	websocket.ping.duration        histogram, s, of round trips
//	websocket.closes               by websocket.close.by (us, peer, rule, network) and websocket.close.code
//	websocket.messages.dropped     that slow peers have missed: added when the connection ends
package wsotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/observability/internal/names"
)

const scope = "github.com/duplexkit/websocket/observability/wsotel"

// Config says where to. The zero value is the global providers.
type Config struct {
	MeterProvider  metric.MeterProvider // nil is otel.GetMeterProvider's
	TracerProvider trace.TracerProvider // nil is otel.GetTracerProvider's
}

// Telemetry is the telemetry of any number of connections. It may be used concurrently.
type Telemetry struct {
	tracer      trace.Tracer
	handshake   metric.Float64Histogram
	connections metric.Int64UpDownCounter
	sizes       metric.Int64Histogram
	waits       metric.Float64Histogram
	frames      metric.Int64Counter
	wire        metric.Int64Counter
	pings       metric.Float64Histogram
	closes      metric.Int64Counter
	dropped     metric.Int64Counter
}

// New makes the instruments. Its error is that of the MeterProvider.
func New(config Config) (*Telemetry, error) {
	if config.MeterProvider == nil {
		config.MeterProvider = otel.GetMeterProvider()
	}
	if config.TracerProvider == nil {
		config.TracerProvider = otel.GetTracerProvider()
	}
	meter := config.MeterProvider.Meter(scope)
	t := &Telemetry{tracer: config.TracerProvider.Tracer(scope)}
	var errs []error
	counter := func(to *metric.Int64Counter, name, unit, says string) {
		var err error
		*to, err = meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(says))
		errs = append(errs, err)
	}
	times := func(to *metric.Float64Histogram, name, says string) {
		var err error
		*to, err = meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(says),
			metric.WithExplicitBucketBoundaries(.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 30))
		errs = append(errs, err)
	}
	times(&t.handshake, "websocket.handshake.duration", "How long opening handshakes took.")
	times(&t.waits, "websocket.message.wait", "How long messages waited to be read, or to be written.")
	times(&t.pings, "websocket.ping.duration", "Round trips of pings.")
	counter(&t.frames, "websocket.frames", "{frame}", "Frames.")
	counter(&t.wire, "websocket.wire", "By", "Bytes of messages on the wire.")
	counter(&t.closes, "websocket.closes", "{connection}", "Connections that have ended.")
	counter(&t.dropped, "websocket.messages.dropped", "{message}", "Messages that were dropped for peers that read too slowly.")
	var err error
	t.connections, err = meter.Int64UpDownCounter("websocket.connections", metric.WithUnit("{connection}"),
		metric.WithDescription("Connections that are open."))
	errs = append(errs, err)
	t.sizes, err = meter.Int64Histogram("websocket.message.size", metric.WithUnit("By"),
		metric.WithDescription("Payload of messages, uncompressed."),
		metric.WithExplicitBucketBoundaries(16, 128, 1<<10, 8<<10, 64<<10, 512<<10, 4<<20, 32<<20))
	errs = append(errs, err)
	return t, errors.Join(errs...)
}

// Server returns a Trace for Upgraders, and for NewConn at the server's end.
func (t *Telemetry) Server() *websocket.Trace { return t.trace("server", trace.SpanKindServer) }

// Client returns a Trace for Dialers, and for NewConn at the client's end.
func (t *Telemetry) Client() *websocket.Trace { return t.trace("client", trace.SpanKindClient) }

// background is the context of what belongs to no request.
var background = context.Background()

// with returns attributes, made once: they cost more than what they are for.
func with(role string, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("websocket.role", role))...))
}

func (t *Telemetry) trace(role string, kind trace.SpanKind) *websocket.Trace {
	plain := with(role)
	return &websocket.Trace{
		Handshake:      func(h websocket.HandshakeInfo) { t.ended(role, kind, h) },
		Opened:         func(*websocket.Conn) { t.connections.Add(background, 1, plain) },
		FrameRead:      t.framesOf(role, "read"),
		FrameWritten:   t.framesOf(role, "written"),
		MessageRead:    t.messagesOf(role, "read"),
		MessageWritten: t.messagesOf(role, "written"),
		Pong:           func(_ *websocket.Conn, rtt time.Duration) { t.pings.Record(background, rtt.Seconds(), plain) },
		Closed: func(c *websocket.Conn, e websocket.CloseInfo) {
			t.connections.Add(background, -1, plain)
			t.closes.Add(background, 1, with(role, attribute.String("websocket.close.by", e.By.String()), attribute.Int("websocket.close.code", code(e.Code))))
			if n := c.Stats().Dropped; n > 0 {
				t.dropped.Add(background, n, plain)
			}
		},
	}
}

// code makes one of all codes that are not known: 0.
func code(c int) int {
	if !names.CodeKnown(c) {
		return 0
	}
	return c
}

// ended tells of a handshake.
func (t *Telemetry) ended(role string, kind trace.SpanKind, h websocket.HandshakeInfo) {
	ctx := background
	attributes := []attribute.KeyValue{attribute.String("websocket.role", role)}
	if h.Request != nil {
		ctx = h.Request.Context()
		attributes = append(attributes, attribute.String("url.path", h.Request.URL.Path), attribute.String("server.address", h.Request.Host))
	}
	if h.Response != nil {
		attributes = append(attributes, attribute.Int("http.response.status_code", h.Response.StatusCode))
	}
	if h.Conn != nil {
		agreed := h.Conn.Negotiated()
		attributes = append(attributes,
			attribute.String("websocket.subprotocol", agreed.Subprotocol),
			attribute.Bool("websocket.compressed", agreed.Compression != nil))
	}
	end := time.Now()
	_, span := t.tracer.Start(ctx, "websocket.handshake", trace.WithSpanKind(kind), trace.WithTimestamp(end.Add(-h.Duration)), trace.WithAttributes(attributes...))
	if h.Err != nil {
		span.RecordError(h.Err)
		span.SetStatus(codes.Error, h.Err.Error())
	}
	span.End(trace.WithTimestamp(end))
	t.handshake.Record(ctx, h.Duration.Seconds(), with(role, attribute.String("websocket.outcome", names.Outcome(h))))
}

func (t *Telemetry) framesOf(role, direction string) func(*websocket.Conn, websocket.FrameHeader) {
	var options [len(names.Opcodes)]metric.MeasurementOption
	for opcode, name := range names.Opcodes {
		options[opcode] = with(role, attribute.String("websocket.direction", direction), attribute.String("websocket.opcode", name))
	}
	return func(_ *websocket.Conn, h websocket.FrameHeader) { t.frames.Add(background, 1, options[h.Opcode]) }
}

func (t *Telemetry) messagesOf(role, direction string) func(*websocket.Conn, websocket.MessageInfo) {
	way := attribute.String("websocket.direction", direction)
	plain := with(role, way)
	text, binary := with(role, way, attribute.String("websocket.message.type", "text")), with(role, way, attribute.String("websocket.message.type", "binary"))
	return func(_ *websocket.Conn, m websocket.MessageInfo) {
		typed := text
		if m.Type == websocket.BinaryMessage {
			typed = binary
		}
		t.sizes.Record(background, m.Payload, typed)
		t.waits.Record(background, m.Wait.Seconds(), plain)
		t.wire.Add(background, m.Wire, plain)
	}
}
