package conformance

import (
	"crypto/tls"
	"time"
)

// Config says what is played, against whom, and where the outcome goes. The zero value of every field but URL works.
type Config struct {
	URL      string        // the server under test, ws://host:port/path; RunClient only
	Agent    string        // name of the server under test in the report, "" is "server"; a client under test names itself
	Cases    []string      // patterns of ids, none is every case
	Exclude  []string      // patterns of ids to leave out of Cases
	Messages int           // messages in each case of sections 12 and 13, 0 is 1000
	Dir      string        // where index.json and the files of the cases go, "" writes none
	Parallel int           // cases RunClient plays side by side, 0 is 1
	Timeout  time.Duration // longest wait without an octet moving, 0 is 10 seconds
	HTTP2    bool          // over HTTP/2 (RFC 8441), all cases of a RunClient on one connection
	TLS      *tls.Config   // with HTTP2, TLS on these terms, nil is without
}

func (c Config) withDefaults() Config {
	if c.Agent == "" {
		c.Agent = "server"
	}
	if c.Messages <= 0 {
		c.Messages = 1000
	}
	if c.Parallel <= 0 {
		c.Parallel = 1
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	return c
}
