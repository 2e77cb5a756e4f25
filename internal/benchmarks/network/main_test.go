//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	measured() // The tests' program plays all roles too.
	os.Exit(m.Run())
}

// Everything is measured for a moment, and with that verified.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	o := options{rounds: 1, time: 2 * time.Millisecond, quick: true, idle: 100}
	if raceEnabled {
		o.only = "duplexkit,raw" // The peers' races are theirs.
		t.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	if err := run(&out, o); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, sc := range scenarios {
		for _, c := range sc.cells(o) {
			for _, r := range selected(o.only) {
				if name := "\nBenchmark" + c.name + "/" + r.name + "-"; sc.takes(r) && !strings.Contains(out.String(), name) {
					t.Errorf("nothing is known about %s", name[1:])
				}
			}
		}
	}
}

// Only a row that is known to lose connections may, and no more than a few.
func TestUpgradeUnanswered(t *testing.T) {
	for _, tt := range []struct {
		name  string
		every int // how many connections are answered between two that are not
		loses bool
		ok    bool
	}{
		{"few, known", 500, true, true},
		{"few, not known", 500, false, false},
		{"many, known", 1, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for n := 1; ; n++ {
					c, err := l.Accept()
					if err != nil {
						return
					}
					if _, err := c.Read(make([]byte, 4096)); err == nil && n%(tt.every+1) != 0 {
						fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n", handshakeAccept(handshakeKey))
					}
					c.Close()
				}
			}()
			addr := l.Addr().(*net.TCPAddr).AddrPort()
			for messages := 0; messages < 1500; {
				r, err := upgrade(addr, 4, 10*time.Millisecond, tt.loses)
				messages += r.messages
				if err != nil || messages >= 1500 {
					if (err == nil) != tt.ok || err != nil && !errors.Is(err, errHungUp) {
						t.Errorf("upgrade returned %v after %d connections", err, messages)
					}
					return
				}
			}
		})
	}
}

func TestReceiver(t *testing.T) {
	want := payload(300)
	frame := appendFrame(nil, want, false)
	masked := appendFrame(nil, want, true)
	fragments := append(appendFrame(nil, want[:100], false), appendFrame(nil, want[100:], false)...)
	fragments[0] &^= 0x80 // not the last
	fragments[102] = 0x80 // a continuation, which is the last
	ping := append([]byte{0x89, 3, 'a', 'b', 'c'}, frame...)
	change := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	for _, test := range []struct {
		name     string
		masked   bool
		stream   []byte
		messages int
		fault    string
	}{
		{"frame", false, frame, 1, ""},
		{"frames", false, bytes.Repeat(frame, 3), 3, ""},
		{"masked", true, bytes.Repeat(masked, 3), 3, ""},
		{"fragments", false, fragments, 1, ""},
		{"ping", false, ping, 1, ""},
		{"masked from a server", false, masked, 0, "mixed up"},
		{"unmasked from a client", true, frame, 0, "mixed up"},
		{"reserved bit", false, change(frame, 0, 0xc2), 0, "reserved"},
		{"close", false, []byte{0x88, 0}, 0, "close"},
		{"continuation of nothing", false, change(frame, 0, 0x80), 0, "opcode 0"},
		{"no continuation", false, change(fragments, 102, 0x82), 0, "opcode 2"},
		{"other byte", false, change(frame, 200, ^frame[200]), 0, "other bytes"},
		{"other byte, masked", true, change(masked, 200, ^masked[200]), 0, "other bytes"},
		{"other last byte of the second", true, change(append(bytes.Clone(masked), masked...), 2*len(masked)-1, ^masked[len(masked)-1]), 1, "other bytes"},
		{"too short", false, appendFrame(nil, want[:299], false), 0, "299 bytes instead"},
		{"too long", false, appendFrame(nil, append(bytes.Clone(want), 0), false), 0, "more than 300"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, step := range []int{1, 7, len(test.stream)} {
				r := receiver{want: want, masked: test.masked}
				var err error
				for rest := test.stream; len(rest) > 0 && err == nil; rest = rest[min(step, len(rest)):] {
					err = r.take(rest[:min(step, len(rest))])
				}
				if fault := test.fault; (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
					t.Errorf("by %d bytes: error %v instead of %q", step, err, fault)
				}
				if r.messages != test.messages {
					t.Errorf("by %d bytes: %d messages instead of %d", step, r.messages, test.messages)
				}
			}
		})
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 100_000 {
		h.add(time.Duration(i))
	}
	for _, q := range []float64{0, 0.0001, 0.001, 0.5, 0.99, 1 - 1e-5} {
		got, want := float64(h.quantile(q)), q*100_000
		if got > want || got < want*31/32-1 {
			t.Errorf("of 0 to 99,999, %v of all do not exceed %v", q, got)
		}
	}
}
