package wsprom_test

import (
	"fmt"
	"log"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/observability/wsprom"
)

// Metrics of the connections of a server. Mostly promhttp shows what is printed here.
func ExampleNew() {
	reg := prometheus.NewRegistry()
	m, err := wsprom.New(reg)
	if err != nil {
		log.Fatal(err)
	}
	options := websocket.Options{Trace: m.Server()} // for an Upgrader too
	clientEnd, serverEnd := net.Pipe()
	server := websocket.NewConn(serverEnd, websocket.Negotiated{Server: true}, options)
	client := websocket.NewConn(clientEnd, websocket.Negotiated{}, websocket.Options{})
	go client.WriteMessage(websocket.TextMessage, []byte("Hello"))
	_, _, _ = server.ReadMessage()
	_ = server.Close()
	_ = client.Close()

	families, err := reg.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "websocket_messages_total", "websocket_closes_total":
			for _, metric := range f.GetMetric() {
				if metric.GetCounter().GetValue() == 0 {
					continue
				}
				fmt.Print(f.GetName())
				for _, l := range metric.GetLabel() {
					fmt.Printf(" %s=%s", l.GetName(), l.GetValue())
				}
				fmt.Println(":", metric.GetCounter().GetValue())
			}
		}
	}
	// Output:
	// websocket_closes_total by=us code=1006 role=server: 1
	// websocket_messages_total direction=read role=server type=text: 1
}
