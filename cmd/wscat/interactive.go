package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/duplexkit/websocket"
)

// A command is what a line with a slash does.
type command struct {
	name, args, help string
	run              func(s *session, args string) error
}

// commands are listed by /help in this order.
var commands []command

func init() { // for help refers to commands
	commands = []command{
		{"text", "TEXT", "send TEXT as a text message; without TEXT an empty one", func(s *session, args string) error {
			return s.sendChecked(event{Type: "text", payload: []byte(args)})
		}},
		{"hex", "DIGITS", "send a binary message, as /hex 00 ff 2a", func(s *session, args string) error {
			p, err := parseHex(args)
			if err != nil {
				return err
			}
			return s.sendChecked(event{Type: "binary", payload: p})
		}},
		{"file", "PATH", "send a file as a binary message", func(s *session, args string) error {
			return s.sendFile("binary", args)
		}},
		{"textfile", "PATH", "send a file as a text message", func(s *session, args string) error {
			return s.sendFile("text", args)
		}},
		{"ping", "[TEXT]", "send a ping; its pong tells the round trip", func(s *session, args string) error {
			return s.sendChecked(controlEvent("ping", args))
		}},
		{"pong", "[TEXT]", "send a pong that nobody asked for", func(s *session, args string) error {
			return s.sendChecked(controlEvent("pong", args))
		}},
		{"close", "[CODE [REASON]]", "close the connection, with 1000 if there is no CODE", (*session).closeCommand},
		{"info", "", "show what was agreed on, and how long it took", func(s *session, args string) error {
			s.link.describe(s.o, s.show)
			return nil
		}},
		{"stats", "", "show what was sent and received so far", func(s *session, args string) error {
			s.show.note("%s", s.statistics())
			return nil
		}},
		{"help", "", "show this", func(s *session, args string) error {
			s.show.note("%s", commandHelp())
			return nil
		}},
		{"quit", "", "close the connection as -close-code and -close-reason say, like Ctrl-D", func(s *session, args string) error {
			return &farewell{code: s.o.closeCode, reason: s.o.closeReason, now: true}
		}},
	}
}

func commandHelp() string {
	var b strings.Builder
	b.WriteString("a line is sent as a text message, //x as /x, an empty line not at all\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "%-24s %s\n", strings.TrimSpace("/"+c.name+" "+c.args), c.help)
	}
	return b.String()
}

// converse sends what is typed. What goes wrong with a line is shown, and the next one
// counts. echoed says that the terminal shows what is typed.
func (s *session) converse(ctx context.Context, stdin io.Reader, echoed bool) error {
	in := bufio.NewReader(stdin)
	for {
		line, err := readLine(in)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("input: %w", err)
		}
		err = s.enter(string(line), echoed)
		var bye *farewell
		var broken *failure
		switch {
		case errors.As(err, &bye), errors.As(err, &broken), s.finished(err):
			return err
		case err != nil:
			s.show.trouble("%s", printable(bare(err)))
		}
	}
}

// enter does what a line says.
func (s *session) enter(line string, echoed bool) error {
	name, isCommand := strings.CutPrefix(line, "/")
	switch {
	case line == "":
		return nil
	case !isCommand, strings.HasPrefix(name, "/"):
		e, err := s.o.input.parse([]byte(strings.TrimPrefix(line, "/")), s.o.messageType)
		if !isCommand {
			e, err = s.o.input.parse([]byte(line), s.o.messageType)
		}
		if err != nil {
			return err
		}
		return s.sendEvent(e, !echoed || e.Type != "text")
	}
	name, args, _ := strings.Cut(name, " ")
	for _, c := range commands {
		if c.name == name {
			return c.run(s, args)
		}
	}
	return fmt.Errorf("no command /%s: /help lists them, and /%s sends the line as it is", name, line)
}

func (s *session) sendChecked(e event) error {
	if err := e.checkSendable(); err != nil {
		return err
	}
	return s.send(e)
}

func (s *session) sendFile(messageType, name string) error {
	if name == "" {
		return errors.New("which file?")
	}
	p, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return s.sendChecked(event{Type: messageType, payload: p})
}

func (s *session) closeCommand(args string) error {
	if args == "" {
		return &farewell{code: websocket.CloseNormalClosure, now: true}
	}
	number, reason, _ := strings.Cut(args, " ")
	code, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("%q is not a close code", number)
	}
	if err := checkClose(code, reason); err != nil {
		return err
	}
	return &farewell{code: code, reason: reason, now: true}
}
