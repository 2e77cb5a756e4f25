//go:build unix

package interop

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplexkit/websocket"
)

// deflatePeer is what a peer that knows permessage-deflate does with it.
type deflatePeer struct {
	limit time.Duration // of one role

	// client starts connecting to our server, once for each opening, and sends
	// back what it gets; nil: the peer is no client.
	client  func(t *testing.T, s *deflateServer, offers []opening) *child
	offers  []opening
	reports bool // in the end it does, the extensions it saw
	names   bool // it reports their names only, without parameters

	// server starts listening at port; nil: the peer is no server.
	server  func(t *testing.T, port string) *child
	answers []opening

	keeps   bool // it takes its context over even where it has promised not to
	forgets bool // it never refers to earlier messages, which it need not (RFC 7692, section 7.1.1)
	swaps   bool // it takes server_no_context_takeover for client_no_context_takeover, and the latter for the former
	noEmpty bool // it breaks down over messages of no bytes when it takes its context over
	short   int  // messages of fewer bytes it compresses each for itself, even with context takeover
	least   int  // bytes that a message of its client has at least when it is compressed, which no message need be (RFC 7692, section 6)
}

// never is the deflatePeer.least of a client that only inflates.
const never = math.MaxInt

// What the header field says.
const (
	pmd = "permessage-deflate"
	snt = "; server_no_context_takeover"
	cnt = "; client_no_context_takeover"
	smw = "; server_max_window_bits"
	cmw = "; client_max_window_bits"
)

type compression = websocket.Compression

// ourOffers are what our client offers on various terms. Each peer's server is sent all of them.
var ourOffers = []opening{
	{ours: nil, offer: pmd + snt + cnt},
	{ours: &compression{}, offer: pmd + cmw},
	{ours: &compression{ServerNoContextTakeover: true}, offer: pmd + snt + cmw},
	{ours: &compression{ClientNoContextTakeover: true}, offer: pmd + cnt + cmw},
	{ours: &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}, offer: pmd + snt + cnt + cmw},
	{ours: &compression{ServerMaxWindowBits: 8}, offer: pmd + smw + "=9" + cmw},
	{ours: &compression{ServerMaxWindowBits: 9}, offer: pmd + smw + "=9" + cmw},
	{ours: &compression{ServerMaxWindowBits: 12}, offer: pmd + smw + "=12" + cmw},
	{ours: &compression{ServerMaxWindowBits: 15}, offer: pmd + cmw},
	{ours: &compression{ClientMaxWindowBits: 8}, offer: pmd + cmw + "=8"},
	{ours: &compression{ClientMaxWindowBits: 9}, offer: pmd + cmw + "=9"},
	{ours: &compression{ClientMaxWindowBits: 12}, offer: pmd + cmw + "=12"},
	{ours: &compression{ClientMaxWindowBits: 15}, offer: pmd + cmw},
	{
		ours:  &compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 10, ClientMaxWindowBits: 11},
		offer: pmd + snt + cnt + smw + "=10" + cmw + "=11",
	},
}

// answers are those to ourOffers. What our client has against one follows after a comma.
func answers(theirs string, golden ...string) []opening {
	openings := slices.Clone(ourOffers)
	for i := range openings {
		e := &openings[i]
		e.theirs = theirs
		e.answer, e.fails, _ = strings.Cut(golden[i], ", ")
	}
	return openings
}

func declineAll(*http.Request) bool { return true }

// windows are the pairs of window bits that zlib has, a small one with a large one.
func windows(each func(server, client int) opening) (openings []opening) {
	for n := 9; n <= 15; n++ {
		openings = append(openings, each(n, 24-n))
	}
	return openings
}

// ourWindows are set by our server, for a client that leaves the choice to it.
func ourWindows(theirs string) []opening {
	return windows(func(server, client int) opening {
		return opening{
			ours:   &compression{ServerMaxWindowBits: server, ClientMaxWindowBits: client},
			theirs: theirs,
			offer:  pmd + cmw,
			answer: pmd + limited(smw, server) + limited(cmw, client),
		}
	})
}

// askedWindows are set by our client, for a server that has no limits of its own.
func askedWindows(theirs string) []opening {
	return windows(func(server, client int) opening {
		e := opening{
			ours:   &compression{ServerMaxWindowBits: server, ClientMaxWindowBits: client},
			theirs: theirs,
			answer: pmd + limited(smw, server) + limited(cmw, client),
		}
		e.offer = e.answer
		if client == 15 {
			e.offer += cmw // without a value
		}
		return e
	})
}

// limited is a parameter of n bits, unless that is the largest window there is.
func limited(param string, n int) string {
	if n == 15 {
		return ""
	}
	return fmt.Sprintf("%s=%d", param, n)
}

// offeredWindows are set by the peer's client, told in the given format.
func offeredWindows(format string) []opening {
	return windows(func(server, client int) opening {
		both := fmt.Sprintf("%s%s=%d%s=%d", pmd, smw, server, cmw, client)
		return opening{
			ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
			theirs: fmt.Sprintf(format, server, client),
			offer:  both,
			answer: both,
		}
	})
}

// answeredWindows are set by the peer's server, told and saying so in the given formats.
func answeredWindows(told, says string) []opening {
	return windows(func(server, client int) opening {
		return opening{
			ours:   &compression{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15},
			theirs: fmt.Sprintf(told, server, client),
			offer:  pmd + cmw,
			answer: pmd + fmt.Sprintf(says, server, client),
		}
	})
}
