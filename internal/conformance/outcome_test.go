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
