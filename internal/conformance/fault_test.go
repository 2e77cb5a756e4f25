package conformance_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket/internal/conformance"
)

// fault is one thing an endpoint does wrong, and the cases that must not go well with it.
type fault struct {
	name       string
	cases      []string
	compressed bool
	only       string // "server" or "client", "" is both
}

// faults proves the peer: every fault is one that an implementation has had, or could have.
var faults = []fault{
	// Frames
	{name: "accepts wrong masking", cases: []string{"20.1.1", "20.1.2", "20.1.3", "20.1.4", "20.1.5"}},
	{name: "sends wrong masking", cases: []string{"1.1.2", "2.2", "7.1.1"}},
	{name: "always masks with the same key", cases: []string{"20.4.1"}, only: "client"},
	{name: "masks two frames with the same key", cases: []string{"20.4.1"}, only: "client"},
	{name: "ignores reserved bits", cases: []string{"3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7"}},
	{name: "ignores reserved opcodes", cases: []string{"4.1.1", "4.1.2", "4.1.3", "4.2.1", "4.2.2", "4.2.3"}},
	{name: "accepts lengths that are not minimal", cases: []string{"20.2.1", "20.2.3", "20.2.5", "20.2.7", "20.2.9"}},
	{name: "sends lengths that are not minimal", cases: []string{"1.1.1", "2.1"}},
	{name: "ignores the top bit of the length", cases: []string{"20.3.1", "20.3.2", "20.3.3"}},
	// Octets that are sent by themselves may still be read together when the machine is busy, as may all of 2.6. These are too many for that.
	{name: "takes a short read for the payload", cases: []string{"1.1.8", "1.2.8", "9.5.6", "9.6.6"}},
	{name: "ignores errors", cases: []string{"2.5", "3.1", "4.1.1", "5.9", "6.3.1", "7.3.2", "20.1.1"}},

	// Control frames
	{name: "answers no pings", cases: []string{"2.1", "2.10", "5.6"}},
	{name: "answers pings without payload", cases: []string{"2.2", "2.4", "2.6"}},
	{name: "answers the first ping only", cases: []string{"2.10", "2.11"}},
	{name: "answers pings after the message", cases: []string{"5.6", "5.19"}},
	{name: "answers pongs", cases: []string{"2.7", "2.8", "2.9"}},
	{name: "accepts fragmented control frames", cases: []string{"5.1"}},
	{name: "accepts long control frames", cases: []string{"2.5"}},

	// Messages
	{name: "loses a fragment", cases: []string{"5.3", "5.19", "6.2.2", "9.4.8", "10.1.1"}},
	{name: "swaps fragments", cases: []string{"5.3", "5.6", "9.3.8", "9.4.8"}},
	{name: "drops a message when pinged", cases: []string{"5.6", "5.19"}},
	{name: "accepts a continuation of nothing", cases: []string{"5.9", "5.10", "5.11", "5.17"}},
	{name: "accepts a message inside a message", cases: []string{"5.18"}},
	{name: "echoes text as binary", cases: []string{"1.1.2", "9.7.2"}},
	{name: "loses empty messages", cases: []string{"1.1.1", "1.2.1", "6.1.1", "6.1.2"}},
	{name: "cuts at 64 KiB", cases: []string{"1.1.7", "1.2.7", "9.1.2"}},
	{name: "corrupts octet 70000", cases: []string{"9.1.2", "9.2.2", "9.4.8", "9.6.6"}},
	{name: "echoes twice", cases: []string{"1.1.2", "1.2.2"}},

	// UTF-8
	{name: "does not check UTF-8", cases: []string{"6.3.1", "6.3.2", "6.6.1", "6.12.1", "6.20.1"}},
	{name: "checks UTF-8 at the end", cases: []string{"6.4.1", "6.4.2", "6.4.3", "6.4.4"}},
	{name: "fails a fragment that ends inside 3 octets", cases: []string{"6.2.4"}},
	{name: "fails a fragment that ends inside 4 octets", cases: []string{"20.7.1"}},
	{name: "takes a byte order mark away", cases: []string{"20.7.2"}},

	// Closing
	{name: "closes with a code of its own", cases: []string{"1.1.2", "7.1.1", "7.7.5"}},
	{name: "closes with 1000 on errors", cases: []string{"2.5", "3.1", "6.3.1", "7.9.1"}},
	{name: "cuts the close code off", cases: []string{"7.1.1", "7.7.3"}},
	{name: "does not answer close frames", cases: []string{"7.1.1", "7.3.1"}},
	{name: "does nothing about close frames", cases: []string{"1.1.1", "7.3.1"}},
	{name: "closes twice", cases: []string{"7.1.1", "7.3.1"}},
	{name: "sends a message behind the close", cases: []string{"7.1.1"}},
	{name: "goes on after the close", cases: []string{"7.1.2", "7.1.3", "7.1.4"}},
	{name: "accepts a close payload of one octet", cases: []string{"7.3.2"}},
	{name: "accepts any close code", cases: []string{"7.9.1", "7.9.3", "7.9.5", "7.9.9"}},
	{name: "accepts any close reason", cases: []string{"7.5.1"}},
	{name: "keeps the TCP connection", cases: []string{"7.1.1", "7.3.1", "20.5.1"}, only: "server"},
	{name: "keeps the TCP connection", cases: []string{"20.5.1"}, only: "client"},
	{name: "resets the TCP connection", cases: []string{"20.5.1"}},

	// permessage-deflate
	{name: "accepts RSV1 on continuations", cases: []string{"22.3.1"}, compressed: true},
	{name: "accepts RSV1 on control frames", cases: []string{"22.3.2", "22.3.3"}, compressed: true},
	{name: "ignores reserved bits", cases: []string{"22.3.8"}, compressed: true},
	{name: "echoes uncompressed", cases: []string{"22.1.1", "22.1.2", "22.1.3"}, compressed: true},
	{name: "forgets the inflate context", cases: []string{"12.1.3", "22.2.2"}, compressed: true},
	{name: "keeps the deflate context", cases: []string{"21.1.4"}, compressed: true, only: "server"},
	{name: "keeps the deflate context", cases: []string{"13.2.4"}, compressed: true, only: "client"},
	{name: "ignores the window", cases: []string{"21.1.2", "21.1.8", "13.3.6"}, compressed: true, only: "server"},
	{name: "ignores the window", cases: []string{"13.3.6"}, compressed: true, only: "client"},
	{name: "leaves out the window in the answer", cases: []string{"21.1.2", "21.1.3"}, compressed: true, only: "server"},
	{name: "leaves out takeover in the answer", cases: []string{"21.1.4", "21.1.5"}, compressed: true, only: "server"},
	{name: "asks for a window not offered", cases: []string{"21.1.1", "21.1.4"}, compressed: true, only: "server"},
	{name: "accepts any offer", cases: []string{"21.1.11", "21.1.12", "21.1.18"}, compressed: true, only: "server"},
	{name: "accepts any answer", cases: []string{"21.2.1", "21.2.2", "21.2.3", "21.2.8"}, compressed: true, only: "client"},
	{name: "takes a final block for an error", cases: []string{"22.2.4"}, compressed: true},
	{name: "ignores bad DEFLATE data", cases: []string{"22.3.4", "22.3.5", "22.3.7"}, compressed: true},
	{name: "does not check compressed UTF-8", cases: []string{"22.3.6"}, compressed: true},
	{name: "corrupts octet 70000", cases: []string{"12.2.10"}, compressed: true},

	// The opening handshake
	{name: "computes the accept key wrong", cases: []string{"1.1.1"}, only: "server"},
}

// playImpatiently plays the cases against an endpoint with a fault. Silence is what some of these have to say, and it is heard sooner
// than usual, but for cases with large messages, over which a healthy endpoint is silent too.
func playImpatiently(t *testing.T, under, fault string, compressed bool, cases []string) map[string]*conformance.Result {
	t.Helper()
	results := map[string]*conformance.Result{}
	for timeout, large := range map[time.Duration]bool{time.Second: false, 30 * time.Second: true} {
		config := conformance.Config{Timeout: timeout, Messages: 3, Parallel: 4}
		for _, id := range cases {
			if section := conformance.Numbers(id)[0]; (section >= 9 && section < 20) == large {
				config.Cases = append(config.Cases, id)
			}
		}
		if len(config.Cases) > 0 {
			maps.Copy(results, players[under](t, fault, compressed, config))
		}
	}
	return results
}

// control plays every case of the faults against an endpoint without any.
func control(t *testing.T, under string, compressed bool) map[string]*conformance.Result {
	t.Helper()
	var cases []string
	for _, f := range faults {
		if f.compressed == compressed && (f.only == "" || f.only == under) {
			cases = append(cases, f.cases...)
		}
	}
	slices.Sort(cases)
	return playImpatiently(t, under, "", compressed, slices.Compact(cases))
}

func TestEveryFaultIsFound(t *testing.T) {
	t.Parallel()
	require.GreaterOrEqual(t, len(faults), 25)
	type setting struct {
		under      string
		compressed bool
	}
	healthy := map[setting]map[string]*conformance.Result{}
	for under := range players {
		for _, compressed := range []bool{false, true} {
			healthy[setting{under, compressed}] = control(t, under, compressed)
		}
	}
	for _, f := range faults {
		for under := range players {
			if f.only != "" && f.only != under {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", f.name, under), func(t *testing.T) {
				t.Parallel()
				results := playImpatiently(t, under, f.name, f.compressed, f.cases)
				for _, id := range f.cases {
					good := healthy[setting{under, f.compressed}][id]
					require.NotNil(t, good, id)
					require.True(t, good.Passed(), "case %s is red without the fault: %s, %s", id, good.Result, good.ResultClose)
					require.NotNil(t, results[id], id)
					require.False(t, results[id].Passed(), "case %s does not see it", id)
					require.NotEqual(t, conformance.Unimplemented, results[id].Behavior, id)
				}
			})
		}
	}
}

// TestAllowedHabitIsNoFault plays against endpoints that do what not everybody does, and may.
func TestAllowedHabitIsNoFault(t *testing.T) {
	t.Parallel()
	for under, play := range players {
		for _, habit := range []struct {
			name  string
			cases []string
		}{
			{"deflates every message by itself", []string{"12.1.3", "13.1.3", "21.1.*", "22.*"}},
			{"pings all the time", []string{"1.1.*", "5.*", "6.4.*", "7.1.*", "20.5.1"}},
			{"drops the connection on errors", []string{"2.5", "3.*", "4.*", "5.*", "6.3.*", "6.12.*", "7.9.*", "20.*"}},
		} {
			if under == "client" {
				habit.cases = slices.DeleteFunc(habit.cases, func(p string) bool { return p == "21.1.*" })
			}
			t.Run(habit.name+", "+under, func(t *testing.T) {
				t.Parallel()
				results := play(t, habit.name, true, conformance.Config{Cases: habit.cases, Messages: 3, Parallel: 4, Timeout: 30 * time.Second})
				require.NotEmpty(t, results)
				for id, r := range results {
					require.True(t, r.Passed(), "%s: %s, %s", id, r.Result, r.ResultClose)
				}
			})
		}
	}
}
