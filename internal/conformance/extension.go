package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// extension is one element of Sec-WebSocket-Extensions.
type extension struct {
	name   string
	params []param
}

type param struct {
	name, value string
	has         bool // it has a value
}

// parseExtensions reads the header lines (RFC 6455 section 9.1).
func parseExtensions(lines []string) ([]extension, error) {
	var list []extension
	for _, element := range split(strings.Join(lines, ","), ',') {
		parts := split(element, ';')
		if len(parts) == 0 {
			continue
		}
		e := extension{name: parts[0]}
		for _, part := range parts[1:] {
			name, value, has := strings.Cut(part, "=")
			p := param{name: strings.TrimSpace(name), value: strings.TrimSpace(value), has: has}
			if n := len(p.value); n >= 2 && p.value[0] == '"' && p.value[n-1] == '"' {
				p.value = p.value[1 : n-1]
			}
			if p.name == "" || has && p.value == "" {
				return nil, fmt.Errorf("malformed extension %q", element)
			}
			e.params = append(e.params, p)
		}
		list = append(list, e)
	}
	return list, nil
}

// split cuts s at the separators outside quotes and drops what is empty.
func split(s string, separator rune) []string {
	quoted := false
	parts := strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == separator && !quoted
	})
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" })
}

// terms are the parameters of permessage-deflate, in an offer or in an answer (RFC 7692 section 7.1). A window of 0 is no parameter,
// of -1 one without a value.
type terms struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int
}

// parseTerms reads the parameters of an offer, or of an answer, in which client_max_window_bits must have a value.
func parseTerms(params []param, answer bool) (terms, error) {
	var t terms
	seen := map[string]bool{}
	for _, p := range params {
		if seen[p.name] {
			return t, fmt.Errorf("parameter %s comes twice (RFC 7692 section 7)", p.name)
		}
		seen[p.name] = true
		var err error
		switch p.name {
		case "server_no_context_takeover":
			t.serverNoTakeover = true
			err = noValue(p)
		case "client_no_context_takeover":
			t.clientNoTakeover = true
			err = noValue(p)
		case "server_max_window_bits":
			t.serverBits, err = bits(p)
		case "client_max_window_bits":
			if t.clientBits = -1; p.has || answer {
				t.clientBits, err = bits(p)
			}
		default:
			err = fmt.Errorf("unknown parameter %s (RFC 7692 section 7.1)", p.name)
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

func noValue(p param) error {
	if p.has {
		return fmt.Errorf("parameter %s has a value (RFC 7692 section 7.1.1)", p.name)
	}
	return nil
}

func bits(p param) (int, error) {
	n, err := strconv.Atoi(p.value)
	if err != nil || n < 8 || n > 15 || p.value[0] == '0' || p.value[0] == '+' {
		return 0, fmt.Errorf("parameter %s is not a number from 8 to 15 (RFC 7692 section 7.1.2)", p.name)
	}
	return n, nil
}

const deflateName = "permessage-deflate"

func (t terms) String() string {
	var b strings.Builder
	b.WriteString(deflateName)
	for _, flag := range []struct {
		set  bool
		name string
	}{{t.serverNoTakeover, "server_no_context_takeover"}, {t.clientNoTakeover, "client_no_context_takeover"}} {
		if flag.set {
			b.WriteString("; " + flag.name)
		}
	}
	for _, window := range []struct {
		bits int
		name string
	}{{t.serverBits, "server_max_window_bits"}, {t.clientBits, "client_max_window_bits"}} {
		switch {
		case window.bits > 0:
			fmt.Fprintf(&b, "; %s=%d", window.name, window.bits)
		case window.bits < 0:
			b.WriteString("; " + window.name)
		}
	}
	return b.String()
}

// answerFrom finds the server's answer among the extensions it chose. It is nil if the server declined.
func answerFrom(lines []string, offered bool) (*terms, error) {
	list, err := parseExtensions(lines)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if len(list) > 1 || list[0].name != deflateName || !offered {
		return nil, fmt.Errorf("extensions %q were not offered (section 9.1)", lines)
	}
	t, err := parseTerms(list[0].params, true)
	return &t, err
}

// hold tells what is wrong with the answer to the offer.
func (t terms) hold(offer terms) error {
	switch {
	case t.clientBits != 0 && offer.clientBits == 0:
		return errors.New("client_max_window_bits in the answer but not in the offer (RFC 7692 section 7.1.2.2)")
	case offer.clientBits > 0 && t.clientBits > offer.clientBits:
		return fmt.Errorf("client_max_window_bits %d in the answer, %d in the offer (RFC 7692 section 7.1.2.2)", t.clientBits, offer.clientBits)
	case offer.serverBits > 0 && t.serverBits == 0:
		return fmt.Errorf("server_max_window_bits %d of the offer is missing in the answer (RFC 7692 section 7.1.2.1)", offer.serverBits)
	case offer.serverBits > 0 && t.serverBits > offer.serverBits:
		return fmt.Errorf("server_max_window_bits %d in the answer, %d in the offer (RFC 7692 section 7.1.2.1)", t.serverBits, offer.serverBits)
	case offer.serverNoTakeover && !t.serverNoTakeover:
		return errors.New("server_no_context_takeover of the offer is missing in the answer (RFC 7692 section 7.1.1.1)")
	}
	return nil
}

// agree makes an agreement of the server's answer. server tells whether the peer is the server.
func (t terms) agree(server bool) *agreement {
	window := func(bits int) int {
		if bits <= 0 {
			return 15
		}
		return bits
	}
	up := direction{takeover: !t.clientNoTakeover, bits: window(t.clientBits)}
	down := direction{takeover: !t.serverNoTakeover, bits: window(t.serverBits)}
	if server {
		return &agreement{send: down, receive: up}
	}
	return &agreement{send: up, receive: down}
}
