package wsotel_test

import (
	"context"
	"fmt"
	"log"
	"net"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/observability/wsotel"
)

// Metrics of the connections of a server, read by hand where mostly an exporter does it.
func ExampleNew() {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	telemetry, err := wsotel.New(wsotel.Config{MeterProvider: provider})
	if err != nil {
		log.Fatal(err)
	}
	options := websocket.Options{Trace: telemetry.Server()} // for an Upgrader too
	clientEnd, serverEnd := net.Pipe()
	server := websocket.NewConn(serverEnd, websocket.Negotiated{Server: true}, options)
	_ = server.Close()
	_ = clientEnd.Close()

	var found metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &found); err != nil {
		log.Fatal(err)
	}
	for _, scope := range found.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "websocket.closes" {
				for _, point := range sum.DataPoints {
					by, _ := point.Attributes.Value("websocket.close.by")
					fmt.Println(m.Name, by.AsString(), point.Value)
				}
			}
		}
	}
	// Output: websocket.closes us 1
}
