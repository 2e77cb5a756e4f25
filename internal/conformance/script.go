package conformance

import "fmt"

// scripts says how each case is played. A script is made when its case begins, because some hold megabytes.
var scripts = collect(framing, pingPong, reserved, fragmentation, utf8Text, closes, limits, compression, beyondFraming, offersAndAnswers, deflatedMessages)

type maker func(config Config) play

func collect(sections ...func() map[string]maker) map[string]maker {
	all := map[string]maker{}
	for _, section := range sections {
		for id, m := range section() {
			if all[id] != nil {
				panic("conformance: two scripts for " + id)
			}
			all[id] = m
		}
	}
	return all
}

func script(id string, config Config) play {
	m := scripts[id]
	if m == nil {
		panic("conformance: no script for " + id)
	}
	return m(config)
}

// just is a play that needs nothing of the configuration.
func just(p play) maker { return func(Config) play { return p } }

// numbered makes the ids prefix.1, prefix.2 and on.
func numbered(into map[string]maker, prefix string, plays ...play) {
	for i, p := range plays {
		into[fmt.Sprintf("%s.%d", prefix, i+1)] = just(p)
	}
}

// What comes back, in short.

func textEcho(s string) Event   { return Event{Kind: "message", Payload: []byte(s)} }
func binaryEcho(p []byte) Event { return Event{Kind: "message", Payload: p, Binary: true} }
func pongWith(s string) Event   { return Event{Kind: "pong", Payload: []byte(s)} }
