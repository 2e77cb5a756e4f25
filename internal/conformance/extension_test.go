package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTerms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line   string
		answer bool
		want   terms
		wrong  string
	}{
		{line: "permessage-deflate"},
		{line: "permessage-deflate; client_max_window_bits", want: terms{clientBits: -1}},
		{line: `permessage-deflate;server_max_window_bits="10" ; server_no_context_takeover`, want: terms{serverBits: 10, serverNoTakeover: true}},
		{line: "permessage-deflate; client_max_window_bits=8; client_no_context_takeover", answer: true, want: terms{clientBits: 8, clientNoTakeover: true}},
		{line: "permessage-deflate; client_max_window_bits", answer: true, wrong: "8 to 15"},
		{line: "permessage-deflate; server_max_window_bits", wrong: "8 to 15"},
		{line: "permessage-deflate; server_max_window_bits=7", wrong: "8 to 15"},
		{line: "permessage-deflate; server_max_window_bits=16", wrong: "8 to 15"},
		{line: "permessage-deflate; server_max_window_bits=09", wrong: "8 to 15"},
		{line: "permessage-deflate; server_no_context_takeover=1", wrong: "has a value"},
		{line: "permessage-deflate; client_max_window_bits; client_max_window_bits", wrong: "twice"},
		{line: "permessage-deflate; mystery", wrong: "unknown parameter"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			list, err := parseExtensions([]string{c.line})
			require.NoError(t, err)
			require.Len(t, list, 1)
			got, err := parseTerms(list[0].params, c.answer)
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestTermsAsWritten(t *testing.T) {
	t.Parallel()
	require.Equal(t, "permessage-deflate", terms{}.String())
	require.Equal(t, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits",
		offer(true, 9).String())
}

func TestAnswerIsHeldAgainstTheOffer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		offer, answer terms
		wrong         string
	}{
		{"nothing asked", terms{}, terms{}, ""},
		{"more than asked", terms{}, terms{serverNoTakeover: true, serverBits: 9, clientNoTakeover: true}, ""},
		{"smaller window", terms{serverBits: 12}, terms{serverBits: 9}, ""},
		{"missing window", terms{serverBits: 15}, terms{}, "missing"},
		{"larger window", terms{serverBits: 9}, terms{serverBits: 12}, "server_max_window_bits 12"},
		{"missing takeover", terms{serverNoTakeover: true}, terms{}, "missing"},
		{"client's window not offered", terms{}, terms{clientBits: 15}, "not in the offer"},
		{"client's window", terms{clientBits: -1}, terms{clientBits: 15}, ""},
		{"client's window too large", terms{clientBits: 10}, terms{clientBits: 11}, "client_max_window_bits 11"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.answer.hold(c.offer)
			if c.wrong == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.wrong)
			}
		})
	}
}

func TestAnswerFrom(t *testing.T) {
	t.Parallel()
	answer, err := answerFrom(nil, true)
	require.NoError(t, err)
	require.Nil(t, answer)
	_, err = answerFrom([]string{"permessage-deflate"}, false)
	require.ErrorContains(t, err, "not offered")
	_, err = answerFrom([]string{"x-other"}, true)
	require.ErrorContains(t, err, "not offered")
	_, err = answerFrom([]string{"permessage-deflate, permessage-deflate"}, true)
	require.ErrorContains(t, err, "not offered")
	answer, err = answerFrom([]string{"permessage-deflate; server_max_window_bits=9"}, true)
	require.NoError(t, err)
	require.Equal(t, direction{takeover: true, bits: 9}, answer.agree(false).receive)
	require.Equal(t, direction{takeover: true, bits: 9}, answer.agree(true).send)
}
