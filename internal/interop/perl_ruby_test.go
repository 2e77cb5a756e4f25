//go:build unix

package interop

import (
	"time"
)

// Perl and Ruby. Debian's packages go with Debian's interpreters.

const ruby = "/usr/bin/ruby"

var perlAndRuby = []row{
	{
		name:    "Mojolicious",
		version: debian("libmojolicious-perl"),
		needs:   []need{{"perl", "apt-get install perl"}, {"/usr/share/perl5/Mojolicious.pm", "apt-get install libmojolicious-perl"}},
		client:  program("perl", "testdata/perl/client.pl"),
		server:  daemon("perl", "testdata/perl/server.pl"),
		deflate: mojoliciousDeflate,
		remarks: "It overlooks the parameters of permessage-deflate, against RFC 7692, section 7.1, and takes its context over in a window of 15 bits. We can inflate that, but a client that has ServerMaxWindowBits of less than 15 gets no answer to it and fails. A program must raise max_websocket_size for messages of more than 256 KiB.",
		limit:   limit,
	},
	{
		name:    "faye-websocket for Ruby",
		version: debian("ruby-faye-websocket"),
		needs: []need{
			{ruby, "apt-get install ruby"},
			{"/usr/lib/ruby/vendor_ruby/faye/websocket.rb", "apt-get install ruby-faye-websocket"},
			{"/usr/lib/ruby/vendor_ruby/eventmachine.rb", "apt-get install ruby-eventmachine"},
		},
		full:    true,
		client:  program(ruby, "testdata/ruby/client.rb"),
		server:  daemon(ruby, "testdata/ruby/server.rb"),
		remarks: "The server is websocket-driver, on which faye is made. For permessage-deflate it needs the gem of that name, which Debian does not have.",
		limit:   limit,
		clientDiffers: differences{
			"fragmented": notInAPI,
		},
	},
}

// It looks for the name of the extension and overlooks all parameters. As a
// client it offers what its program says, so that anything can be tried.
// An empty message after another is not an octet, as section 7.2.3.6 has it, but
// no payload, marked as compressed.
var mojoliciousDeflate = &deflatePeer{
	limit:  60 * time.Second,
	keeps:  true,
	client: echoClient("perl", "testdata/perl/client.pl"),
	offers: append(ourTerms(`"permessage-deflate"`, pmd), []opening{
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
	}...),
	server:  daemon("perl", "testdata/perl/server.pl"),
	answers: always(``, pmd, pmd+noWindow+"%d"),
}
