package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"time"
)

// The program is three processes, so that each one's figures are its own: the good
// clients, which also lead and judge; the server; and the attackers. The latter two
// are the program again, with this variable in the environment. They are asked by
// lines of JSON on their standard input, answer on their standard output, and end
// when there is no more to be asked.
const roleVariable = "WEBSOCKET_SOAK_ROLE"

// patience is how long anything may take that takes no time at all.
const patience = 30 * time.Second

// playRole plays the role that the environment gives, and does not return then.
func playRole() {
	roles := map[string]func(in io.Reader, out io.Writer) error{"server": serverRole, "attackers": attackersRole}
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	play, ok := roles[role]
	if !ok {
		fmt.Fprintf(os.Stderr, "soak: no role %q\n", role)
		os.Exit(2)
	}
	signal.Ignore(os.Interrupt) // which is for the leading process, and that ends this one
	if err := play(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "soak, %s: %v\n", role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// answerAll answers the requests that come until there are no more.
func answerAll[Q, A any](in io.Reader, out io.Writer, answer func(Q) A) error {
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q Q
		if err := requests.Decode(&q); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := answers.Encode(answer(q)); err != nil {
			return err
		}
	}
}

// A child is a process in another role, seen from the leading one.
type child[Q, A any] struct {
	role  string
	cmd   *exec.Cmd
	stdin io.Closer
	in    *json.Encoder
	out   *json.Decoder
}

func startChild[Q, A any](role string) (*child[Q, A], error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child[Q, A]{role: role, cmd: cmd, stdin: stdin, in: json.NewEncoder(stdin), out: json.NewDecoder(stdout)}, nil
}

// ask asks for something and waits for the answer. A process that gives none is ended.
func (c *child[Q, A]) ask(q Q) (a A, err error) {
	kill := time.AfterFunc(2*patience, func() { c.cmd.Process.Kill() })
	defer kill.Stop()
	if err = c.in.Encode(q); err == nil {
		err = c.out.Decode(&a)
	}
	if err != nil {
		return a, fmt.Errorf("no answer from the %s: %w", c.role, err)
	}
	return a, nil
}

// stop has the process end, and ends it if it does not.
func (c *child[Q, A]) stop() error {
	c.stdin.Close()
	kill := time.AfterFunc(patience, func() { c.cmd.Process.Kill() })
	defer kill.Stop()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("the %s: %w", c.role, err)
	}
	return nil
}
