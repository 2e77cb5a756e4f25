package conformance

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVerdictOnTheFrames(t *testing.T) {
	t.Parallel()
	echo := []Event{textEcho("a")}
	strict := Case{closes: byTested, Allowed: []Behavior{OK, NonStrict}}
	for _, c := range []struct {
		name string
		s    session
		want Behavior
	}{
		{"as expected", session{Case: Case{closes: byPeer}, play: play{want: echo}, received: echo}, OK},
		{"nothing came", session{Case: Case{closes: byPeer}, play: play{want: echo}}, Failed},
		{"as binary", session{Case: Case{closes: byPeer}, play: play{want: echo}, received: []Event{binaryEcho([]byte("a"))}}, Failed},
		{"less strict", session{Case: strict, play: play{want: echo}, over: &ended{io.EOF}}, NonStrict},
		{"less strict where that is not allowed", session{Case: Case{closes: byTested}, play: play{want: echo}, over: &ended{io.EOF}}, Failed},
		{"the endpoint did not fail the connection", session{Case: strict, play: play{want: echo}, received: echo, timedOut: true}, Failed},
		{"a script has spoken", session{Case: Case{closes: byPeer}, verdict: Unimplemented}, Unimplemented},
		{"nothing is wrong", session{Case: Case{closes: anyone}, verdict: Failed}, Informational},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, why := c.s.behavior()
			require.Equal(t, c.want, got, why)
		})
	}
}

func TestVerdictOnTheClose(t *testing.T) {
	t.Parallel()
	ours := Case{closes: byPeer, clean: true, codes: []int{1000}}
	theirs := Case{closes: byTested, codes: []int{1002}}
	for _, c := range []struct {
		name string
		s    session
		want Behavior
	}{
		{"clean", session{Case: ours, role: Client, closedByUs: true, wasClean: true, remote: &closed{code: 1000}}, OK},
		{"clean without a code", session{Case: ours, role: Client, closedByUs: true, wasClean: true, remote: &closed{}}, OK},
		{"another code", session{Case: ours, role: Client, closedByUs: true, wasClean: true, remote: &closed{code: 1001}}, WrongCode},
		{"dropped", session{Case: ours, role: Client, closedByUs: true, over: &ended{io.EOF}}, Unclean},
		{"the endpoint was first", session{Case: ours, role: Client, wasClean: true, remote: &closed{code: 1000}}, Failed},
		{"failed as it should", session{Case: theirs, role: Client, remote: &closed{code: 1002}, over: &ended{io.EOF}}, OK},
		{"dropped as it may", session{Case: theirs, role: Client, over: &ended{io.EOF}}, OK},
		{"a server that kept the connection", session{Case: theirs, role: Client, remote: &closed{code: 1002}, dropped: true}, FailedByClient},
		{"a client may wait for us", session{Case: theirs, role: Server, remote: &closed{code: 1002}, dropped: true}, OK},
		{"we had to", session{Case: theirs, role: Client, closedByUs: true}, Failed},
		{"an endpoint that does nothing", session{Case: Case{closes: byPeer}, role: Server, closedByUs: true, timedOut: true}, Unclean},
		{"nothing is wrong", session{Case: Case{closes: anyone}}, Informational},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, why := c.s.behaviorClose()
			require.Equal(t, c.want, got, why)
		})
	}
}
