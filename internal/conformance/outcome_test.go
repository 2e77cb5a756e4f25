package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPassed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		behavior, behaviorClose Behavior
		want                    bool
	}{
		{OK, OK, true},
		{Informational, Informational, true},
		{OK, Unclean, false},
		{OK, WrongCode, false},
		{OK, FailedByClient, false},
		{NonStrict, OK, false},
		{Failed, OK, false},
		{Unimplemented, OK, false},
	} {
		r := Result{Behavior: c.behavior, BehaviorClose: c.behaviorClose}
		require.Equal(t, c.want, r.Passed(), "%s, %s", c.behavior, c.behaviorClose)
	}
}

func TestExpectationIsTheEndOfTheDescription(t *testing.T) {
	t.Parallel()
	for description, want := range map[string]string{
		"ping without payload: empty pong":               "empty pong",
		"UTF-8, valid: payload 0x24: echoed":             "echoed",
		"as 4.1.3, opcode 6 with payload":                "",
		"one text message of 64 KiB: echoed within 10 s": "echoed within 10 s",
	} {
		require.Equal(t, want, Case{Description: description}.expectation())
	}
}
