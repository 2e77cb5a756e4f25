package conformance

import (
	"encoding/json"
	"strings"
	"time"
)

// Behavior is a verdict of the suite, on the frames of a case or on its close.
type Behavior string

const (
	OK             Behavior = "OK"
	NonStrict      Behavior = "NON-STRICT"       // allowed, but not what a careful endpoint does
	Informational  Behavior = "INFORMATIONAL"    // the case has no right and wrong
	Failed         Behavior = "FAILED"           // not what the RFC wants
	Unimplemented  Behavior = "UNIMPLEMENTED"    // the endpoint did not agree on the extension
	WrongCode      Behavior = "WRONG CODE"       // close: another close code than the allowed ones
	Unclean        Behavior = "UNCLEAN"          // close: no closing handshake, or the server kept the TCP connection
	FailedByClient Behavior = "FAILED BY CLIENT" // close: the peer, as the client, had to end the TCP connection
)

// Event is what the peer received, or expected to receive: a message, a pong, or that a pause went by undisturbed.
type Event struct {
	Kind       string // "message", "pong", "timeout"
	Payload    []byte // the tag for a timeout
	Binary     bool   // type of the message
	compressed bool   // the message came deflated
	wireLength int    // payload octets of its frames
}

func (e Event) equal(o Event) bool {
	return e.Kind == o.Kind && e.Binary == o.Binary && string(e.Payload) == string(o.Payload)
}

// MarshalJSON writes the event as the suite does, as a list. A long payload is cut.
func (e Event) MarshalJSON() ([]byte, error) {
	list := []any{e.Kind, printable(e.Payload)}
	if e.Kind == "message" {
		list = append(list, e.Binary)
	}
	return json.Marshal(list)
}

// Result is the outcome of one case. The suite's fields have the names the suite gives them, all but trafficStats, which nobody counts
// here; rxOctets and txOctets are ours.
type Result struct {
	Agent             string               `json:"agent"`
	Case              int                  `json:"case"` // place in the list of the run, from 1
	ID                string               `json:"id"`
	Description       string               `json:"description"`
	Expectation       string               `json:"expectation"` // the end of the description, "" where it names another case
	Behavior          Behavior             `json:"behavior"`
	BehaviorClose     Behavior             `json:"behaviorClose"`
	Result            string               `json:"result"`      // why Behavior is what it is
	ResultClose       string               `json:"resultClose"` // why BehaviorClose is what it is
	Expected          map[Behavior][]Event `json:"expected"`
	ExpectedClose     ExpectedClose        `json:"expectedClose"`
	Received          []Event              `json:"received"`
	Started           time.Time            `json:"started"`
	Duration          int64                `json:"duration"`   // in milliseconds
	ReportTime        bool                 `json:"reportTime"` // the case is about how long it takes
	ClosedByMe        bool                 `json:"closedByMe"`
	FailedByMe        bool                 `json:"failedByMe"`
	DroppedByMe       bool                 `json:"droppedByMe"`
	WasClean          bool                 `json:"wasClean"`
	NotClean          *string              `json:"wasNotCleanReason"` // nil if it was clean
	OpenTimeout       bool                 `json:"wasOpenHandshakeTimeout"`
	CloseTimeout      bool                 `json:"wasCloseHandshakeTimeout"`       // no close frame came back
	DropTimeout       bool                 `json:"wasServerConnectionDropTimeout"` // the server kept the TCP connection after the closing handshake
	LocalCloseCode    *int                 `json:"localCloseCode"`
	LocalCloseReason  *string              `json:"localCloseReason"`
	RemoteCloseCode   *int                 `json:"remoteCloseCode"`
	RemoteCloseReason *string              `json:"remoteCloseReason"`
	IsServer          bool                 `json:"isServer"` // the peer was the server
	HTTPRequest       string               `json:"httpRequest"`
	HTTPResponse      string               `json:"httpResponse"`
	RxOctets          int64                `json:"rxOctets"` // octets after the opening handshake
	TxOctets          int64                `json:"txOctets"`
	RxReads           map[int]int          `json:"rxOctetStats"`  // reads by their octets
	TxWrites          map[int]int          `json:"txOctetStats"`  // writes by their octets
	CreateStats       bool                 `json:"createStats"`   // true: the four Stats were counted
	CreateWirelog     bool                 `json:"createWirelog"` // true: Wirelog was kept
	RxFrames          map[int]int          `json:"rxFrameStats"`  // frames by opcode
	TxFrames          map[int]int          `json:"txFrameStats"`
	Wirelog           [][]any              `json:"wirelog"` // the first frames and octets, cut
}

// ExpectedClose is how a case wants the connection to end.
type ExpectedClose struct {
	ClosedByMe   bool  `json:"closedByMe"`   // the peer starts the closing handshake
	CloseCode    []int `json:"closeCode"`    // codes the endpoint may send, besides none
	RequireClean bool  `json:"requireClean"` // a closing handshake is required
}

// Passed reports whether both verdicts are the best the case has.
func (r *Result) Passed() bool {
	good := func(b Behavior) bool { return b == OK || b == Informational }
	return good(r.Behavior) && good(r.BehaviorClose)
}

// logged is how many octets of a payload or a write are kept in a Result.
const logged = 256

// printable is the beginning of p as text.
func printable(p []byte) string {
	if len(p) <= logged {
		return strings.ToValidUTF8(string(p), "\uFFFD")
	}
	return strings.ToValidUTF8(string(p[:logged]), "\uFFFD") + " ..."
}
