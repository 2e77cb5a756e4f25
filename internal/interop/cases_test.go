//go:build unix

package interop

import "maps"

// report is what an end says of the cases it went through: their results by name.
type report map[string]string

// The cases, and the result of each when all is well. An echo that equals what
// was sent is "ok". A close is the code and reason that this end was told.
var allWell = report{
	"text":         "ok",
	"binary":       "ok",        // 7 bytes, a zero and 255 among them
	"empty":        "ok",        // a text message of no bytes
	"text 1 MiB":   "ok",        // characters of one to four bytes
	"binary 1 MiB": "ok",        // random bytes
	"many":         "ok",        // 100 text messages sent without waiting
	"client ping":  "ok",        // the client pings and gets the pong
	"server ping":  "ok",        // the client sends !ping and gets !pong
	"client close": "3001 done", // the client closes with 3001 "done" and sees the echo
	"server close": "4001 bye",  // the client sends !close 4001 bye
	"kill":         "1006",      // the client sends !kill
}

// without is r but for the named cases.
func (r report) without(names ...string) report {
	r = maps.Clone(r)
	for _, name := range names {
		delete(r, name)
	}
	return r
}
