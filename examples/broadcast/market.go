package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// A tick is what is broadcast.
type tick struct {
	Seq    int64   `json:"seq"`  // counts broadcasts, by which a client sees what it missed
	Sent   int64   `json:"sent"` // when, in nanoseconds since 1970
	Prices []price `json:"prices"`
}

type price struct {
	Symbol string `json:"symbol"`
	Cents  int    `json:"cents"`
}

// A market is a list of prices that move at random. What it says looks like what is sent
// in earnest, and so compresses like it.
type market struct{ prices []price }

// newMarket returns one whose ticks have about size bytes.
func newMarket(size int) *market {
	const bytesPerPrice = len(`{"symbol":"AAAA","cents":10000},`)
	m := new(market)
	for i := range max(1, (size-len(`{"seq":1,"sent":1700000000000000000,"prices":[]}`))/bytesPerPrice) {
		symbol := fmt.Sprintf("%c%c%c%c", 'A'+i/17576%26, 'A'+i/676%26, 'A'+i/26%26, 'A'+i%26)
		m.prices = append(m.prices, price{symbol, 10_000 + rand.IntN(80_000)})
	}
	return m
}

// tick moves the prices and returns them in JSON.
func (m *market) tick(seq int64, now time.Time) []byte {
	for i := range m.prices {
		m.prices[i].Cents = max(1, m.prices[i].Cents+rand.IntN(201)-100)
	}
	p, err := json.Marshal(tick{seq, now.UnixNano(), m.prices})
	if err != nil {
		panic(err) // numbers and letters can always be encoded
	}
	return p
}
