package message

import (
	"bytes"
	"sync"
	"testing"

	"github.com/duplexkit/websocket/internal/benchmarks/corpus"
)

// A dataSet is what one connection sends, over and over.
type dataSet struct {
	name string
	text bool // not binary
	make func() [][]byte
}

// messages returns what d says, only the beginning of it for a short test.
func (d dataSet) messages() [][]byte {
	messages := d.make()
	if testing.Short() {
		messages = messages[:min(len(messages), 20)]
	}
	return messages
}

// perConnection is how many small messages there are, more than fit in a window.
const perConnection = 400

// Several large messages take turns where there is room for them, lest the
// processor learn one by heart.
var dataSets = []dataSet{
	{"chat100", true, chat(100)},
	{"chat200", true, chat(200)},
	{"chat500", true, chat(500)},
	{"chat2000", true, chat(2000)},
	{"ticks192", false, sync.OnceValue(func() [][]byte { return corpus.Ticks(perConnection) })},
	{"random200", false, sync.OnceValue(func() [][]byte { return cut(corpus.Random(200*perConnection), 200) })},
	{"json64K", true, sync.OnceValue(func() [][]byte { return histories(8, 64<<10) })},
	{"text1M", true, sync.OnceValue(func() [][]byte { return [][]byte{corpus.Text(1 << 20)} })},
	{"random64K", false, sync.OnceValue(func() [][]byte { return cut(corpus.Random(4*64<<10), 64<<10) })},
}

func chat(size int) func() [][]byte {
	return sync.OnceValue(func() [][]byte { return corpus.Chat(perConnection, size) })
}

// cut returns p in pieces.
func cut(p []byte, size int) (pieces [][]byte) {
	for ; len(p) > 0; p = p[size:] {
		pieces = append(pieces, p[:size:size])
	}
	return pieces
}

// histories returns arrays of chat messages, cut to exactly size bytes each, as a
// client gets them that asks what was said before it came.
func histories(count, size int) [][]byte {
	const each = 220 // bytes
	arrays := cut(bytes.Join(corpus.Chat(count*size/each+1, each), []byte{','})[:count*size], size)
	for _, p := range arrays {
		p[0], p[size-1] = '[', ']'
	}
	return arrays
}
