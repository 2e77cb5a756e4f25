//go:build unix

package interop

import "maps"

// report is what an end says of the cases it went through: their results by name.
type report map[string]string

// The cases, and the result of each when all is well. An echo that equals what
// was sent is "ok". A close is the code and reason that this end was told.
var allWell = report{
	"text":         "ok",
	"binary":       "ok",              // 7 bytes, a zero and 255 among them
	"empty":        "ok",              // a text message of no bytes
	"text 1 MiB":   "ok",              // characters of one to four bytes
	"binary 1 MiB": "ok",              // random bytes
	"fragmented":   "ok",              // a text message that the client sends in several fragments, which is seen on the wire
	"many":         "ok",              // 100 text messages sent without waiting
	"subprotocol":  "v1.example",      // the client asks for v2.example and v1.example, the server speaks the latter
	"cookie":       "session=s1",      // the client has it and sends !cookie
	"header":       "from the client", // the client sends it as X-Interop, then !header
	"client ping":  "ok",              // the client pings and gets the pong
	"server ping":  "ok",              // the client sends !ping and gets !pong
	"client close": "3001 done",       // the client closes with 3001 "done" and sees the echo
	"server close": "4001 bye",        // the client sends !close 4001 bye
	"close answer": "4001 bye",        // what it answers to that close, as the server or the tap sees it
	"kill":         "1006",            // the client sends !kill
}

// difference is the result of a case that is not as it should be, or not as it is elsewhere.
type difference struct {
	result string // "" if the case is left out
	why    string // for docs/interop.md: what is different, and whose fault it is
}

// What many clients answer to a close.
var (
	codeAlone = difference{"4001 ", "it answers a close with the code alone, which RFC 6455, section 5.5.1, leaves to it"}
	any1000   = difference{"1000 ", "it answers any close with 1000, where an end typically echoes the code (RFC 6455, section 5.5.1)"}
)

// differences are those of one end, by case.
type differences map[string]difference

// but is r apart from what is different.
func (r report) but(d differences) report {
	r = maps.Clone(r)
	for name, difference := range d {
		if difference.result == "" {
			delete(r, name)
		} else {
			r[name] = difference.result
		}
	}
	return r
}
