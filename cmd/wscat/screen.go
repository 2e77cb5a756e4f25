package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/duplexkit/websocket"
)

// A screen shows people what goes on, whole lines at a time, whoever writes them.
//
//	< received
//	> sent
//	* what happened
//	! what went wrong
type screen struct {
	mu    sync.Mutex
	w     io.Writer
	color bool
	times bool
	dump  int // bytes of a hex dump, at most
}

func newScreen(o *options, w io.Writer) *screen {
	color := o.color == "always"
	if o.color == "auto" {
		color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
	}
	return &screen{w: w, color: color, times: o.times, dump: o.dump}
}

const (
	green = "32"
	blue  = "34"
	gray  = "90"
	red   = "31"
)

func (s *screen) note(format string, args ...any)    { s.print("*", gray, fmt.Sprintf(format, args...)) }
func (s *screen) trouble(format string, args ...any) { s.print("!", red, fmt.Sprintf(format, args...)) }

// event shows what was sent or received. who, if it is not empty, stands before it; about,
// behind it.
func (s *screen) event(dir string, e event, who, about string) {
	mark, color := "<", green
	if dir == sent {
		mark, color = ">", blue
	}
	var text string
	switch e.Type {
	case "text":
		text = printable(string(e.payload))
	case "binary":
		text = fmt.Sprintf("binary, %s%s", count(len(e.payload), "byte"), hexDump(e.payload, s.dump))
	case "close":
		text = printable(closeText(e))
	default:
		text = e.Type
		if len(e.payload) > 0 {
			text += " " + quoted(e.payload)
		}
	}
	if who != "" {
		text = who + " " + text
	}
	s.print(mark, color, text+about)
}

// closeText is a close frame in words.
func closeText(e event) string {
	code := e.Code
	if code == 0 {
		code = websocket.CloseNoStatusReceived
	}
	return bare(&websocket.CloseError{Code: code, Text: e.Reason})
}

// bare is an error of the library without its name.
func bare(err error) string { return strings.TrimPrefix(err.Error(), "websocket: ") }

// print writes text behind the mark; further lines of it are indented.
func (s *screen) print(mark, color, text string) {
	var b strings.Builder
	prefix := mark + " "
	if s.times {
		prefix = time.Now().Format("15:04:05.000 ") + prefix
	}
	indent := strings.Repeat(" ", len(prefix))
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i > 0 {
			b.WriteString(indent)
		} else if s.color {
			b.WriteString("\x1b[" + color + "m" + prefix + "\x1b[0m")
		} else {
			b.WriteString(prefix)
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(s.w, b.String())
}

// printable shows the control characters that could do something to a terminal, and
// those that mislead the eye.
func printable(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == '\n' || r == '\t' || unicode.IsPrint(r) || r == '\u200d': // which joins emoji
			b.WriteRune(r)
		case r == '\r':
			b.WriteString(`\r`)
		case unicode.Is(unicode.Zs, r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// quoted is a payload of a control frame, which may be anything.
func quoted(p []byte) string {
	if utf8.Valid(p) && !strings.ContainsFunc(string(p), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(string(p))
	}
	return fmt.Sprintf("%x", p)
}

// hexDump shows at most limit bytes of p, each sixteen on a line of its own that begins
// with a line feed.
func hexDump(p []byte, limit int) string {
	shown := p[:min(len(p), limit)]
	var b strings.Builder
	for at := 0; at < len(shown); at += 16 {
		row := shown[at:min(at+16, len(shown))]
		fmt.Fprintf(&b, "\n%08x ", at)
		for i := range 16 {
			if i%8 == 0 {
				b.WriteByte(' ')
			}
			if i < len(row) {
				fmt.Fprintf(&b, "%02x ", row[i])
			} else {
				b.WriteString("   ")
			}
		}
		b.WriteString(" |")
		for _, c := range row {
			if c < ' ' || c > '~' {
				c = '.'
			}
			b.WriteByte(c)
		}
		b.WriteByte('|')
	}
	if more := len(p) - len(shown); more > 0 && limit > 0 {
		fmt.Fprintf(&b, "\n%d more", more)
	}
	return b.String()
}

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// short is a duration in three digits or so.
func short(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= 100*unit {
			return d.Round(unit).String()
		}
		if d >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}
