package main

// remembered is how many messages a page knows again: more than any history holds, of which
// the server bounds the bytes (maxHistoryBytes of the chat).
const remembered = 2000

// recent is the set of the last keys that were added, remembered of them. The zero value is
// ready.
type recent struct {
	known map[string]bool
	keys  []string // known, in a ring once there are remembered
	next  int      // where the oldest is in the ring
}

// add reports whether key is new to the set, and adds it in place of the oldest.
func (r *recent) add(key string) bool {
	if r.known[key] {
		return false
	}
	if r.known == nil {
		r.known = make(map[string]bool)
	}
	r.known[key] = true
	if len(r.keys) < remembered {
		r.keys = append(r.keys, key)
		return true
	}
	delete(r.known, r.keys[r.next])
	r.keys[r.next] = key
	r.next = (r.next + 1) % remembered
	return true
}
