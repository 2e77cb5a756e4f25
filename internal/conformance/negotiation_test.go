package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		accept func(terms) *terms
		offers []string
		want   []string
	}{
		{"no offer", ask(false, 0), nil, nil},
		{"plain", ask(false, 0), []string{"permessage-deflate"}, []string{"permessage-deflate"}},
		{"what the client asks is kept", ask(false, 0), []string{"permessage-deflate; server_max_window_bits=10; server_no_context_takeover"},
			[]string{"permessage-deflate; server_no_context_takeover; server_max_window_bits=10"}},
		{"no window without its leave", ask(false, 9), []string{"permessage-deflate"}, nil},
		{"window", ask(true, 9), []string{"permessage-deflate; client_max_window_bits"}, []string{"permessage-deflate; client_no_context_takeover; client_max_window_bits=9"}},
		{"window smaller than asked", ask(false, 15), []string{"permessage-deflate; client_max_window_bits=11"}, []string{"permessage-deflate; client_max_window_bits=11"}},
		{"second offer", ask(false, 0), []string{"permessage-deflate; mystery, x-other", "permessage-deflate"}, []string{"permessage-deflate"}},
		{"second way", eachOf(ask(true, 9), ask(true, 0)), []string{"permessage-deflate"}, []string{"permessage-deflate; client_no_context_takeover"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lines, ext := (&negotiation{accept: c.accept}).choose(c.offers)
			require.Equal(t, c.want, lines)
			require.Equal(t, c.want == nil, ext == nil)
		})
	}
}
