//go:build unix

package interop

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/duplexkit/websocket"
)

// deflatePeer is what a peer that knows permessage-deflate does with it.
type deflatePeer struct {
	limit time.Duration // of one role

	// client starts connecting to our server, once for each opening, and sends
	// back what it gets; nil: the peer is no client, or none that offers anything.
	client  func(t *testing.T, s *deflateServer, offers []opening) *child
	offers  []opening
	reports bool // in the end it does, the extensions it saw
	names   bool // it reports their names only, without parameters

	// server starts listening at port; nil: the peer is no server, or none that answers anything.
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
		offer: allTerms,
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

// asAsked are answers to ourOffers, by a server that does all that our client asks for and says so
// in the same words. Where it does otherwise, an offer has another answer, which may be told in several parts.
func asAsked(theirs string, otherwise ...map[string]string) []opening {
	byOffer := map[string]string{
		pmd + snt + cnt:         pmd + snt + cnt,
		pmd + cmw:               pmd,
		pmd + snt + cmw:         pmd + snt,
		pmd + cnt + cmw:         pmd + cnt,
		pmd + snt + cnt + cmw:   pmd + snt + cnt,
		pmd + smw + "=9" + cmw:  pmd + smw + "=9",
		pmd + smw + "=12" + cmw: pmd + smw + "=12",
		pmd + cmw + "=8":        pmd + cmw + "=8",
		pmd + cmw + "=9":        pmd + cmw + "=9",
		pmd + cmw + "=12":       pmd + cmw + "=12",
		allTerms:                allTerms,
	}
	for _, answers := range otherwise {
		maps.Copy(byOffer, answers)
	}
	golden := make([]string, len(ourOffers))
	for i, e := range ourOffers {
		golden[i] = byOffer[e.offer]
	}
	return answers(theirs, golden...)
}

// allTerms is our last offer, and the answer to it of a server that agrees.
const allTerms = pmd + snt + cnt + smw + "=10" + cmw + "=11"

// spelledOut are answers of servers that say how large the client's window is even if it is the largest.
var spelledOut = map[string]string{
	pmd + cmw:       pmd + cmw + "=15",
	pmd + snt + cmw: pmd + snt + cmw + "=15",
	pmd + cnt + cmw: pmd + cnt + cmw + "=15",
}

// always are answers to ourOffers, by a server that gives one answer to all of them. To those with
// server_max_window_bits it is another, or our client has something against it; there %d are the bits.
func always(theirs, says, saysToWindow string) []opening {
	golden := make([]string, len(ourOffers))
	for i, e := range ourOffers {
		golden[i] = says
		if n := bits(e.offer, "server", 0); n > 0 {
			golden[i] = strings.ReplaceAll(saysToWindow, "%d", strconv.Itoa(n))
		}
	}
	return answers(theirs, golden...)
}

// noWindow is what our client says to an answer that overlooks its server_max_window_bits.
const noWindow = ", no server_max_window_bits, offered was "

// ourTerms are various ones of our server, for a client whose offer asks for nothing and may
// have client_max_window_bits.
func ourTerms(theirs, offer string) []opening {
	with := func(ours *compression, answer, window string) opening {
		if strings.Contains(offer, cmw) {
			answer += window
		}
		return opening{ours: ours, theirs: theirs, offer: offer, answer: pmd + answer}
	}
	return []opening{
		with(nil, snt+cnt, ""),
		with(&compression{}, smw+"=12", cmw+"=12"),
		with(&compression{ServerNoContextTakeover: true}, snt+smw+"=12", cmw+"=12"),
		with(&compression{ClientNoContextTakeover: true}, cnt+smw+"=12", cmw+"=12"),
		with(&compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}, snt+cnt+smw+"=12", cmw+"=12"),
		with(&compression{ServerMaxWindowBits: 8, ClientMaxWindowBits: 8}, smw+"=8", cmw+"=9"),
		with(&compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true, ServerMaxWindowBits: 10, ClientMaxWindowBits: 11}, snt+cnt+smw+"=10", cmw+"=11"),
		{ours: &compression{Decline: declineAll}, theirs: theirs, offer: offer, answer: ""},
	}
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

// saying are openings with windows, as a peer answers them that has its own words for it.
func saying(openings []opening, says func(server, client int) string) []opening {
	for i := range openings {
		e := &openings[i]
		e.answer = pmd + says(e.ours.ServerMaxWindowBits, e.ours.ClientMaxWindowBits)
	}
	return openings
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
