package wstest

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

var errStop = errors.New("stop")

func TestSource(t *testing.T) {
	t.Parallel()
	s := &Source{Data: []byte("abcdef"), Stops: []int{0, 2, 2, 6}, Stop: errStop, End: io.ErrClosedPipe, Chunk: func() int { return 3 }}
	type step struct {
		got string
		err error
	}
	p := make([]byte, 10)
	for i, want := range []step{{"", errStop}, {"ab", nil}, {"", errStop}, {"", errStop}, {"cde", nil}, {"f", nil}, {"", errStop}, {"", io.ErrClosedPipe}, {"", io.ErrClosedPipe}} {
		n, err := s.Read(p)
		require.Equal(t, want, step{string(p[:n]), err}, "step %d", i)
	}

	plain := &Source{Data: []byte("abc")}
	b, err := io.ReadAll(plain)
	require.NoError(t, err)
	require.Equal(t, "abc", string(b))

	_, err = (&Source{Stops: []int{0}}).Read(p)
	require.ErrorContains(t, err, "no Stop")
}
