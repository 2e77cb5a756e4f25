package conformance

import (
	"encoding/hex"
	"sync"
	"sync/atomic"
)

// maxWirelog is how many entries a log keeps.
const maxWirelog = 400

// wirelog writes down what goes over the wire. Counting goes on when the log is full.
type wirelog struct {
	rxOctets, txOctets atomic.Int64

	mu                 sync.Mutex
	entries            [][]any
	rxFrames, txFrames map[int]int
	rxReads, txWrites  map[int]int      // by their octets
	keys               map[[4]byte]bool // masking keys of the first frames that came
	masked             int              // how many frames these were
}

func newWirelog() *wirelog {
	return &wirelog{rxFrames: map[int]int{}, txFrames: map[int]int{}, rxReads: map[int]int{}, txWrites: map[int]int{}, keys: map[[4]byte]bool{}}
}

func (l *wirelog) add(entry ...any) {
	switch n := len(l.entries); {
	case n < maxWirelog:
		l.entries = append(l.entries, entry)
	case n == maxWirelog:
		l.entries = append(l.entries, []any{"WLM", false}) // the suite's mark for a log that ends here
	}
}

// note adds an entry about the peer itself, such as the end of a pause.
func (l *wirelog) note(entry ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(entry...)
}

func (l *wirelog) rx(p []byte) {
	l.rxOctets.Add(int64(len(p)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rxReads[len(p)]++
	l.add("RO", cutHex(p))
}

func (l *wirelog) tx(p []byte, chopped bool) {
	l.txOctets.Add(int64(len(p)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.txWrites[len(p)]++
	l.add("TO", cutHex(p), chopped)
}

func (l *wirelog) rxFrame(h header, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rxFrames[int(h.opcode)]++
	var key any
	if h.masked {
		key = hex.EncodeToString(h.key[:])
		if len(l.keys) < maxWirelog {
			l.keys[h.key] = true
			l.masked++
		}
	}
	l.add("RF", printable(payload), h.opcode, h.fin, h.rsv, h.masked, key)
}

func (l *wirelog) txFrame(f frame, key []byte, pieces int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.txFrames[int(f.opcode)]++
	var mask any
	if key != nil {
		mask = hex.EncodeToString(key)
	}
	l.add("TF", printable(f.payload), f.opcode, f.fin, f.rsv, mask, nil, pieces, false)
}

// maskingKeys counts the masked frames and the different keys they came with.
func (l *wirelog) maskingKeys() (frames, different int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.masked, len(l.keys)
}

func cutHex(p []byte) string {
	if len(p) <= logged {
		return hex.EncodeToString(p)
	}
	return hex.EncodeToString(p[:logged]) + " ..."
}
