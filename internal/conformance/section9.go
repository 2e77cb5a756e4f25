package conformance

import "fmt"

// limits is sections 9 and 10: large messages, many fragments, many writes, many messages. Unlike the suite it compares the content. The
// limits on time stand in the table.
func limits() map[string]maker {
	all := map[string]maker{}
	for kind, opcode := range map[int]byte{0: opText, 1: opBinary} {
		isBinary := opcode == opBinary
		large := func(size, fragment, pieces int) maker {
			return func(Config) play {
				p := varied(size, isBinary)
				return play{
					frames: fragments(opcode, 0, p, fragment), pieces: pieces,
					want: []Event{{Kind: "message", Payload: p, Binary: isBinary}},
				}
			}
		}
		for i, size := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20} {
			all[fmt.Sprintf("9.%d.%d", 1+kind, i+1)] = large(size, 0, atOnce)
		}
		for i := range 9 {
			all[fmt.Sprintf("9.%d.%d", 3+kind, i+1)] = large(4<<20, 64<<(2*i), atOnce)
		}
		for i := range 6 {
			all[fmt.Sprintf("9.%d.%d", 5+kind, i+1)] = large(1<<20, 0, 64<<i)
		}
		for i, size := range []int{0, 16, 64, 256, 1024, 4096} {
			all[fmt.Sprintf("9.%d.%d", 7+kind, i+1)] = just(play{
				run: func(s *session) {
					for n := range 1000 {
						p := varied(size+n, isBinary)[n:] // every message is another one
						if _, ok := s.echo(p, isBinary, atOnce, frame{fin: true, opcode: opcode, payload: p}); !ok {
							return
						}
					}
					s.conclude(OK, "all messages were echoed in time")
				},
			})
		}
	}
	p := varied(65536, false)
	numbered(all, "10.1", play{frames: fragments(opText, 0, p, 1300), want: []Event{{Kind: "message", Payload: p}}})
	return all
}
