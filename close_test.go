package websocket

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/wstest"
)

func TestClosePayload(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		payload string
		code    int
		reason  string
		err     error
	}{
		{name: "empty", code: CloseNoStatusReceived},
		{name: "code", payload: "\x03\xe8", code: CloseNormalClosure},
		{name: "code and reason", payload: "\x03\xe9bye", code: CloseGoingAway, reason: "bye"},
		{name: "reason of 123 bytes", payload: "\x03\xe8" + strings.Repeat("r", 123), code: CloseNormalClosure, reason: strings.Repeat("r", 123)},
		{name: "reason beyond ASCII", payload: "\x03\xe8Žluťoučký kůň", code: CloseNormalClosure, reason: "Žluťoučký kůň"},
		{name: "one byte", payload: "\x03", err: errShortClose},
		{name: "code 1005 on the wire", payload: "\x03\xed", err: errCloseCode},
		{name: "code 0", payload: "\x00\x00", err: errCloseCode},
		{name: "code 65535", payload: "\xff\xff", err: errCloseCode},
		{name: "reason cut within a character", payload: "\x03\xe8\xe2\x82", err: errCloseReason},
		{name: "reason with a surrogate", payload: "\x03\xe8\xed\xa0\x80", err: errCloseReason},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			code, reason, err := parseClosePayload([]byte(tc.payload))
			require.Equal(t, tc.err, err)
			require.Equal(t, tc.code, code)
			require.Equal(t, tc.reason, reason)
			if err == nil {
				require.Equal(t, tc.payload, string(FormatCloseMessage(code, reason)))
			}
		})
	}
}

func TestFormatCloseMessage(t *testing.T) {
	t.Parallel()
	require.Equal(t, wstest.CloseFrame(CloseGoingAway, "bye").Payload, string(FormatCloseMessage(CloseGoingAway, "bye")))
	require.Equal(t, []byte{}, FormatCloseMessage(CloseNoStatusReceived, "dropped"))
	// gorilla checks nothing here, and neither do we.
	require.Equal(t, wstest.Hex("00 07 ff"), FormatCloseMessage(7, "\xff"))
	require.Len(t, FormatCloseMessage(CloseNormalClosure, strings.Repeat("r", 200)), 202)
}

func TestValidCloseCode(t *testing.T) {
	t.Parallel()
	for code := -1; code <= 1<<16; code++ {
		var want bool
		switch {
		case code == 1004 || code == 1005 || code == 1006:
		case code >= 1000 && code <= 1014, code >= 3000 && code <= 4999:
			want = true
		}
		require.Equal(t, want, validCloseCode(code), "code %d", code)
	}
}

func TestCutReason(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, reason, want string }{
		{"empty", "", ""},
		{"fits", strings.Repeat("r", 123), strings.Repeat("r", 123)},
		{"one too long", strings.Repeat("r", 124), strings.Repeat("r", 123)},
		{"ends between characters", strings.Repeat("r", 121) + "éé", strings.Repeat("r", 121) + "é"},
		{"ends within two bytes", strings.Repeat("r", 122) + "é", strings.Repeat("r", 122)},
		{"ends within three bytes", strings.Repeat("r", 121) + "€", strings.Repeat("r", 121)},
		{"ends within four bytes", strings.Repeat("r", 120) + "😀", strings.Repeat("r", 120)},
		{"not UTF-8", "caf\xe9", "caf\uFFFD"},
		{"not UTF-8 at the end", strings.Repeat("r", 122) + "\xe9", strings.Repeat("r", 122)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, cutReason(tc.reason))
		})
	}
}

func TestCloseErrorText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  CloseError
		want string
	}{
		{CloseError{1000, "bye"}, "websocket: close 1000 (normal): bye"},
		{CloseError{1001, ""}, "websocket: close 1001 (going away)"},
		{CloseError{1002, ""}, "websocket: close 1002 (protocol error)"},
		{CloseError{1003, ""}, "websocket: close 1003 (unsupported data)"},
		{CloseError{1004, ""}, "websocket: close 1004"},
		{CloseError{1005, ""}, "websocket: close 1005 (no status)"},
		{CloseError{1006, "unexpected EOF"}, "websocket: close 1006 (abnormal closure): unexpected EOF"},
		{CloseError{1007, ""}, "websocket: close 1007 (invalid payload data)"},
		{CloseError{1008, ""}, "websocket: close 1008 (policy violation)"},
		{CloseError{1009, ""}, "websocket: close 1009 (message too big)"},
		{CloseError{1010, ""}, "websocket: close 1010 (mandatory extension missing)"},
		{CloseError{1011, ""}, "websocket: close 1011 (internal server error)"},
		{CloseError{1012, ""}, "websocket: close 1012 (service restart)"},
		{CloseError{1013, ""}, "websocket: close 1013 (try again later)"},
		{CloseError{1014, ""}, "websocket: close 1014 (bad gateway)"},
		{CloseError{1015, ""}, "websocket: close 1015 (TLS handshake error)"},
		{CloseError{4000, "ours"}, "websocket: close 4000: ours"},
	} {
		require.Equal(t, tc.want, tc.err.Error())
	}
	require.Equal(t, "websocket: invalid close code", errCloseCode.Error())
}

func TestCloseErrorIs(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, fmt.Errorf("while reading: %w", &CloseError{Code: CloseAbnormalClosure}), io.ErrUnexpectedEOF)
	require.NotErrorIs(t, &CloseError{Code: CloseNormalClosure}, io.ErrUnexpectedEOF)
	require.NotErrorIs(t, &CloseError{Code: CloseAbnormalClosure}, io.EOF)
}

func TestIsCloseError(t *testing.T) {
	t.Parallel()
	closed := &CloseError{Code: CloseGoingAway}
	wrapped := fmt.Errorf("serving: %w", closed)
	for _, tc := range []struct {
		name           string
		err            error
		codes          []int
		is, unexpected bool
	}{
		{"nil", nil, []int{CloseGoingAway}, false, false},
		{"another error", io.EOF, []int{CloseGoingAway}, false, false},
		{"the code", closed, []int{CloseNormalClosure, CloseGoingAway}, true, false},
		{"another code", closed, []int{CloseNormalClosure}, false, true},
		{"no codes", closed, nil, false, true},
		{"wrapped", wrapped, []int{CloseGoingAway}, true, false},
		{"wrapped, another code", wrapped, []int{CloseNormalClosure}, false, true},
		{"joined", errors.Join(io.EOF, closed), []int{CloseGoingAway}, true, false},
		{"protocol error", errMasked, []int{CloseProtocolError}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.is, IsCloseError(tc.err, tc.codes...))
			require.Equal(t, tc.unexpected, IsUnexpectedCloseError(tc.err, tc.codes...))
		})
	}
}

func FuzzClosePayload(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(wstest.Hex("03"))
	f.Add(wstest.Hex("03 e8"))
	f.Add(wstest.Hex("03 ed"))
	f.Add(wstest.Hex("03 e9 62 79 65"))
	f.Add(wstest.Hex("0f a0 e2 82 ac"))
	f.Add(wstest.Hex("03 e8 e2 82"))
	f.Fuzz(func(t *testing.T, p []byte) {
		code, reason, err := parseClosePayload(p)
		wellFormed := len(p) == 0 || len(p) > 1 && validCloseCode(int(p[0])<<8|int(p[1])) && utf8.Valid(p[2:])
		require.Equal(t, wellFormed, err == nil)
		if err != nil {
			require.IsType(t, &ProtocolError{}, err)
			require.Zero(t, code)
			require.Empty(t, reason)
			return
		}
		require.True(t, utf8.ValidString(reason))
		require.True(t, validCloseCode(code) || code == CloseNoStatusReceived && len(p) == 0)
		require.Equal(t, string(p), string(FormatCloseMessage(code, reason)), "the echo is the same")
		cut := cutReason(reason)
		require.LessOrEqual(t, len(cut), maxControlPayload-2)
		require.True(t, utf8.ValidString(cut))
		require.True(t, strings.HasPrefix(reason, cut))
	})
}
