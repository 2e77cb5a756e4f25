//go:build unix

package interop

import (
	"time"
)

// Perl and Ruby.

var perlAndRuby = []row{
	{
		name:    "Mojolicious",
		version: debian("libmojolicious-perl"),
		needs:   []need{{"/usr/share/perl5/Mojolicious.pm", "apt-get install libmojolicious-perl"}},
		deflate: mojoliciousDeflate,
		limit:   limit,
	},
}

// It looks for the name of the extension and overlooks all parameters. As a
// client it offers what its program says, so that anything can be tried.
// An empty message after another is not an octet, as section 7.2.3.6 has it, but
// no payload, marked as compressed.
var mojoliciousDeflate = &deflatePeer{
	limit:  60 * time.Second,
	keeps:  true,
	client: echoClient("perl", "testdata/perl/deflate.pl"),
	offers: []opening{
		{ours: nil, theirs: `"permessage-deflate"`, offer: pmd, answer: pmd + snt + cnt},
		{ours: &compression{}, theirs: `"permessage-deflate"`, offer: pmd, answer: pmd + smw + "=12"},
		{ours: &compression{ClientNoContextTakeover: true}, theirs: `"permessage-deflate"`, offer: pmd, answer: pmd + cnt + smw + "=12"},
		{ours: &compression{ServerNoContextTakeover: true}, theirs: `"permessage-deflate"`, offer: pmd, answer: pmd + snt + smw + "=12"},
		{ours: &compression{}, theirs: `"permessage-deflate; client_no_context_takeover"`, offer: pmd + cnt, answer: pmd + cnt + smw + "=12"},
		{ours: &compression{}, theirs: `"x-unknown, permessage-deflate; server_max_window_bits=10"`, offer: "x-unknown, " + pmd + smw + "=10", answer: pmd + smw + "=10"},
		{ours: &compression{}, theirs: `"permessage-deflate; unknown, permessage-deflate"`, offer: pmd + "; unknown, " + pmd, answer: pmd + smw + "=12"},
		{ours: &compression{}, theirs: `"permessage-deflate; server_max_window_bits=16, permessage-deflate"`, offer: pmd + smw + "=16, " + pmd, answer: pmd + smw + "=12"},
		{ours: &compression{}, theirs: `"permessage-deflate; server_max_window_bits=\"10\""`, offer: pmd + smw + `="10"`, answer: pmd + smw + "=10"},
		{ours: &compression{}, theirs: `"permessage-deflate; server_no_context_takeover=1"`, offer: pmd + snt + "=1", answer: ""},
		{ours: &compression{}, theirs: `"x-webkit-deflate-frame"`, offer: "x-webkit-deflate-frame", answer: ""},
		{ // what Boost.Beast says
			ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
			theirs: `"permessage-deflate; server_max_window_bits=15; client_max_window_bits=15"`,
			offer:  pmd + smw + "=15" + cmw + "=15", answer: pmd + smw + "=15" + cmw + "=15",
		},
	},
	server: daemon("perl", "testdata/perl/server.pl"),
	answers: answers(``,
		pmd,
		pmd,
		pmd,
		pmd,
		pmd,
		pmd+", no server_max_window_bits, offered was 9",
		pmd+", no server_max_window_bits, offered was 9",
		pmd+", no server_max_window_bits, offered was 12",
		pmd,
		pmd,
		pmd,
		pmd,
		pmd,
		pmd+", no server_max_window_bits, offered was 10",
	),
}
