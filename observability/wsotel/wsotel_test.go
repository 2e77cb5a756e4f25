package wsotel_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/duplexkit/websocket/observability/internal/scenario"
	"github.com/duplexkit/websocket/observability/wsotel"
)

// collected returns sums, and counts of histograms, by name and attributes.
func collected(t *testing.T, reader *metric.ManualReader) map[string]float64 {
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	values := make(map[string]float64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					values[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Value)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					values[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Sum)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					values[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Count)
				}
			default:
				t.Fatalf("%s is a %T", m.Name, data)
			}
		}
	}
	return values
}

func TestTelemetry(t *testing.T) {
	reader := metric.NewManualReader()
	spans := tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	telemetry, err := wsotel.New(wsotel.Config{
		MeterProvider:  metric.NewMeterProvider(metric.WithReader(reader)),
		TracerProvider: tracers,
	})
	require.NoError(t, err)
	ctx, parent := tracers.Tracer("test").Start(t.Context(), "parent")
	scenario.Run(t, ctx, telemetry.Server(), telemetry.Client(), func() {
		values := collected(t, reader)
		require.Equal(t, 1.0, values["websocket.connections websocket.role=client"], "%v", values)
	})
	parent.End()

	values := collected(t, reader)
	value := func(name, role string, attributes ...string) float64 {
		for i, a := range attributes {
			attributes[i] = "websocket." + a
		}
		attributes = append(attributes, "websocket.role="+role)
		slices.Sort(attributes)
		key := name + " " + strings.Join(attributes, ",")
		v, ok := values[key]
		require.True(t, ok, "%s is not among %v", key, values)
		return v
	}
	for _, role := range []string{"client", "server"} {
		require.Zero(t, value("websocket.connections", role))
		for _, direction := range []string{"read", "written"} {
			require.Equal(t, 5.0, value("websocket.message.size", role, "direction="+direction, "message.type=text"))
			require.Equal(t, float64(scenario.Size), value("websocket.message.size", role, "direction="+direction, "message.type=binary"))
			require.Equal(t, 2.0, value("websocket.message.wait", role, "direction="+direction))
			require.Less(t, value("websocket.wire", role, "direction="+direction), scenario.Size/10.0)
		}
	}
	require.Equal(t, 1.0, value("websocket.handshake.duration", "server", "outcome=opened"))
	require.Equal(t, 1.0, value("websocket.closes", "client", "close.by=us", "close.code=1000"))
	require.Equal(t, 1.0, value("websocket.closes", "server", "close.by=peer", "close.code=1000"))
	require.Equal(t, 1.0, value("websocket.ping.duration", "client"))
	require.Equal(t, 1.0, value("websocket.frames", "client", "direction=written", "opcode=ping"))
	for _, outcome := range []string{"opened", "refused", "failed"} {
		require.Equal(t, 1.0, value("websocket.handshake.duration", "client", "outcome="+outcome))
	}

	var ours []string
	for _, span := range spans.Ended() {
		if span.Name() != "websocket.handshake" || span.SpanKind() != trace.SpanKindClient {
			continue
		}
		require.Equal(t, parent.SpanContext().SpanID(), span.Parent().SpanID())
		require.False(t, span.EndTime().Before(span.StartTime()))
		ours = append(ours, span.Status().Code.String()+" "+span.Status().Description)
		require.Equal(t, span.Status().Code == codes.Error, len(span.Events()) == 1)
	}
	require.Equal(t, []string{"Error websocket: bad handshake", "Error no network", "Unset "}, ours)
}

// The global providers will do.
func TestGlobal(t *testing.T) {
	telemetry, err := wsotel.New(wsotel.Config{})
	require.NoError(t, err)
	scenario.Run(t, t.Context(), telemetry.Server(), telemetry.Client(), func() {})
}
