package wstest

import (
	"errors"
	"io"
)

// A Source is an io.Reader that gives out Data as a test has planned it.
type Source struct {
	Data  []byte
	Chunk func() int // how much the next read brings at most; nil is as much as fits
	Stops []int      // offsets in Data, ascending: a read there returns Stop, and the one after it goes on
	Stop  error      // what reads return at the Stops
	End   error      // what reads return after Data; nil is io.EOF

	at int
}

// Read implements io.Reader.
func (s *Source) Read(p []byte) (n int, err error) {
	if len(s.Stops) > 0 && s.at == s.Stops[0] {
		s.Stops = s.Stops[1:]
		if s.Stop == nil {
			return 0, errors.New("wstest: a Source with Stops and no Stop")
		}
		return 0, s.Stop
	}
	if s.at == len(s.Data) {
		if s.End == nil {
			return 0, io.EOF
		}
		return 0, s.End
	}
	end := len(s.Data)
	if len(s.Stops) > 0 {
		end = s.Stops[0]
	}
	if s.Chunk != nil {
		end = min(end, s.at+max(s.Chunk(), 1))
	}
	n = copy(p, s.Data[s.at:end])
	s.at += n
	return n, nil
}
