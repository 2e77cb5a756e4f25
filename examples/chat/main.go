// Command chat is a chat server: rooms, the last messages for those who join, and a
// page that connects again by itself and loses nothing meanwhile.
//
//	go run ./examples/chat    serve on localhost:8080
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "serve on this `address`")
	history := flag.Int("history", 100, "messages that a room keeps for those who join, at most")
	pause := flag.Duration("pause", 200*time.Millisecond, "time between messages of one person, after the first few; 0 is none")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	if err := listenAndServe(ctx, *addr, newServer(*history, *pause)); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

func listenAndServe(ctx context.Context, addr string, s *server) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("open http://%v/ in two windows; Ctrl-C ends\n", ln.Addr())
	return s.serve(ctx, ln)
}
