// Command slog logs what happens on WebSocket connections, by log/slog: trace.go is for
// copying. A server and a client play a refused handshake and five connections that
// end in different ways.
//
//	go run ./examples/slog                              as text
//	go run ./examples/slog -format json | jq .          as JSON
//	go run ./examples/slog -level frame -frames 1       all there is
//	go run ./examples/slog -addr localhost:8080         a server for your own client
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	format := flag.String("format", "text", "text or json, the `format` of the records")
	level := flag.String("level", "info", "the lowest `level`: frame, debug, info, warn or error")
	frames := flag.Int64("frames", 0, "log one of so many frames, with -level frame; 0 is none")
	slow := flag.Duration("slow", 100*time.Millisecond, "warn of a message that waits for this long; 0 is never")
	both := flag.Bool("both", false, "log the client's end too")
	addr := flag.String("addr", "", "play nothing, and serve on this `address` until Ctrl-C")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, as it does by default
	h, err := handler(os.Stdout, *format, *level)
	if err == nil && *frames < 0 {
		err = fmt.Errorf("-frames %d is negative", *frames)
	}
	if err == nil {
		l := &Log{Logger: slog.New(h), Messages: true, Slow: *slow, FrameEvery: *frames}
		if *addr != "" {
			err = listenAndServe(ctx, *addr, l)
		} else {
			err = play(ctx, l, *both)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "slog:", err)
		os.Exit(1)
	}
}

// handler returns the handler that the flags ask for. It has a name for LevelFrame.
func handler(w io.Writer, format, level string) (slog.Handler, error) {
	var least slog.Level
	if level == "frame" {
		least = LevelFrame
	} else if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("-level %s is none of frame, debug, info, warn, error", level)
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey && len(groups) == 0 && a.Value.Any() == LevelFrame {
			a.Value = slog.StringValue("FRAME")
		}
		return a
	}}
	switch format {
	case "text":
		return slog.NewTextHandler(w, options), nil
	case "json":
		return slog.NewJSONHandler(w, options), nil
	}
	return nil, fmt.Errorf("-format %s is neither text nor json", format)
}
