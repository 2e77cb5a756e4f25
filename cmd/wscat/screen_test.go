package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestScreen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		show func(s *screen)
		want string
	}{
		{"text", func(s *screen) { s.event(received, event{Type: "text", payload: []byte("a\nb\n")}, "", "") }, "< a\n  b\n"},
		{"empty", func(s *screen) { s.event(sent, event{Type: "text"}, "", "") }, "> \n"},
		{"who", func(s *screen) { s.event(received, controlEvent("ping", "x"), "[1]", "") }, "< [1] ping \"x\"\n"},
		{"about", func(s *screen) { s.event(received, controlEvent("pong", "\xff"), "", " after 1ms") }, "< pong ff after 1ms\n"},
		{"close", func(s *screen) { s.event(received, event{Type: "close", Code: 4000, Reason: "a\x1b"}, "", "") }, "< close 4000: a\\x1b\n"},
		{"close without a code", func(s *screen) { s.event(received, event{Type: "close"}, "", "") }, "< close 1005 (no status)\n"},
		{"note", func(s *screen) { s.note("%d\n%d", 1, 2) }, "* 1\n  2\n"},
		{"trouble", func(s *screen) { s.trouble("oh") }, "! oh\n"},
		{"binary", func(s *screen) {
			s.event(received, event{Type: "binary", payload: []byte("0123456789abcdef\x00~\x7f")}, "", "")
		},
			"< binary, 19 bytes\n" +
				"  00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n" +
				"  00000010  00 7e 7f                                          |.~.|\n"},
		{"much", func(s *screen) { s.event(received, event{Type: "binary", payload: make([]byte, 100)}, "", "") },
			"< binary, 100 bytes\n" +
				"  00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n" +
				"  00000010  00 00 00 00                                       |....|\n" +
				"  80 more\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			test.show(&screen{w: &b, dump: 20})
			require.Equal(t, test.want, b.String())
		})
	}
}

func TestColor(t *testing.T) {
	var b bytes.Buffer
	s := newScreen(&options{color: "always"}, &b)
	s.note("a\nb")
	require.Equal(t, "\x1b[90m* \x1b[0ma\n  b\n", b.String())
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	require.False(t, newScreen(&options{color: "auto"}, &b).color, "it is no terminal")
	require.False(t, newScreen(&options{color: "never"}, &b).color)

	b.Reset()
	newScreen(&options{color: "never", times: true}, &b).note("a\nb")
	require.Regexp(t, `^\d\d:\d\d:\d\d\.\d{3} \* a\n               b\n$`, b.String())
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain, tab\t and line\n": "plain, tab\t and line\n",
		"é 日本 👩\u200d💻":           "é 日本 👩\u200d💻",
		"no-break\u00a0space":     "no-break\u00a0space",
		"\x1b[2J":                 `\x1b[2J`,
		"a\rb\x7f\x00":            `a\rb\x7f\x00`,
		"\u0085\u202e":            `\u0085\u202e`,
		"\xff\uFFFD":              "\\xff\uFFFD",
	} {
		require.Equal(t, want, printable(text))
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                        "0s",
		999:                      "999ns",
		12345:                    "12.35µs",
		123456:                   "123µs",
		12345678:                 "12.35ms",
		1234567890:               "1.23s",
		123 * time.Second:        "2m3s",
		3*time.Hour + 1234567890: "3h0m1s",
	} {
		require.Equal(t, want, short(d))
	}
}
