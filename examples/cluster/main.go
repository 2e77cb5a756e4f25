// Command cluster is the chat on several nodes, with NATS between them.
//
//	go run .               one node, on localhost:8080
//	go run . -nodes 3      three, each a process with a nats-server in it
//	go run . -nats URL     a node that uses a NATS cluster
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	cfg, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if cfg.nodes > 1 {
		err = runNodes(ctx, cfg, os.Stdout, os.Stderr)
	} else {
		err = runNode(ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// runNode is a node until ctx ends.
func runNode(ctx context.Context, cfg config) error {
	log.SetFlags(log.Ltime | log.Lmicroseconds | log.Lmsgprefix)
	log.SetPrefix(cfg.name + ": ")
	if cfg.untilEOF {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end as well
			end()
		}()
	}
	ln, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return err
	}
	n, err := newNode(ctx, cfg)
	if err != nil {
		err = errors.Join(err, ln.Close())
		if ctx.Err() != nil {
			return nil // that was all there was to it
		}
		return err
	}
	return n.serve(ctx, ln, func() {
		fmt.Printf("%s is ready: http://%v/\n", cfg.name, ln.Addr())
	})
}

// config is what the flags say.
type config struct {
	// The node.
	addr, name string
	peers      []string // addresses of all nodes, as browsers write them
	unready    time.Duration
	pause      time.Duration
	queue      int           // Options.WriteQueue: a welcome has to fit in
	silent     time.Duration // after which a node is dead for the others: three times not heard
	untilEOF   bool

	// What NATS keeps.
	prefix   string // of all names in NATS
	history  int
	size     int // in MiB
	replicas int
	storage  jetstream.StorageType

	// The embedded nats-server.
	dir        string
	cluster    string // where it listens for the others'
	routes     []string
	secret     string // file with what servers have to know
	configFile string

	// A NATS cluster in its place.
	nats                 []string
	creds, ca, cert, key string

	// The parent of several nodes.
	nodes   int
	restart time.Duration
}

// names are what may be part of a NATS subject.
var names = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

func parseFlags(args []string, out io.Writer) (config, error) {
	cfg := config{queue: 512 << 10, silent: 7 * time.Second}
	f := flag.NewFlagSet("cluster", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&cfg.addr, "addr", "localhost:8080", "serve pages and WebSockets on this `address`; further nodes take the ports after it")
	f.IntVar(&cfg.nodes, "nodes", 1, "so many nodes on this machine, each a process with a nats-server in it")
	f.DurationVar(&cfg.restart, "restart", 10*time.Second, "with -nodes: start a node that has died again, after this long; 0 is never")

	f.StringVar(&cfg.name, "name", "", "of the node, unlike those of others and the same after a restart")
	list(f, &cfg.peers, "peers", "`URLs` of the nodes' pages, this one's included, that a page may go to; none if a load balancer stands before them")
	f.DurationVar(&cfg.unready, "unready", 0, "in the end, how long /readyz says no before connections are refused")
	f.DurationVar(&cfg.pause, "pause", 200*time.Millisecond, "time between messages of one person, after the first few; 0 is none")
	f.BoolVar(&cfg.untilEOF, "until-eof", false, "end when standard input does")

	f.StringVar(&cfg.prefix, "prefix", "chat", "of the stream and the subjects in NATS")
	f.IntVar(&cfg.history, "history", 100, "messages of each room that are kept")
	f.IntVar(&cfg.size, "size", 64, "`MiB` of messages of all rooms that are kept")
	f.IntVar(&cfg.replicas, "replicas", 0, "servers that keep each message; 0 is 3, or as many as there are")
	storage := f.String("storage", "memory", "what NATS keeps messages in: memory or file")

	f.StringVar(&cfg.dir, "dir", "", "`directory` of the embedded nats-server, needed for -storage file; none is a temporary one, which is removed in the end")
	f.StringVar(&cfg.cluster, "cluster", "", "the embedded nats-server is one of a cluster, and listens to the others on this `address`")
	list(f, &cfg.routes, "routes", "`URLs`, as nats://host:port, of the -cluster addresses of all")
	f.StringVar(&cfg.secret, "secret", "", "`file` with a secret, the same for all: who does not know it is not let into the -cluster")
	f.StringVar(&cfg.configFile, "config", "", "configuration `file` of the embedded nats-server, in the place of -dir, -cluster, -routes and -secret")

	list(f, &cfg.nats, "nats", "`URLs` of a NATS cluster to use instead of an embedded server")
	f.StringVar(&cfg.creds, "creds", "", "with -nats or -config: `file` with credentials")
	f.StringVar(&cfg.ca, "ca", "", "with -nats: `file` with certificates of the authorities to trust")
	f.StringVar(&cfg.cert, "cert", "", "with -nats: `file` with this client's certificate")
	f.StringVar(&cfg.key, "key", "", "with -nats: `file` with its key")
	if err := f.Parse(args); err != nil {
		return cfg, err
	}

	set := make(map[string]bool)
	f.Visit(func(f *flag.Flag) { set[f.Name] = true })
	embedded := len(cfg.nats) == 0 && cfg.configFile == ""
	only := func(when bool, why string, flags ...string) error {
		for _, name := range flags {
			if set[name] && !when {
				return fmt.Errorf("-%s is %s", name, why)
			}
		}
		return nil
	}
	if err := errors.Join(
		only(len(cfg.nats) == 0, "for an embedded nats-server, and -nats is to have none", "dir", "cluster", "routes", "secret", "config", "nodes"),
		only(len(cfg.nats) > 0 || cfg.configFile != "", "of use with -nats or -config only", "creds"),
		only(len(cfg.nats) > 0, "of use with -nats only", "ca", "cert", "key"),
		only(cfg.configFile == "", "what the file of -config says", "dir", "cluster", "routes", "secret"),
		only(cfg.nodes == 1, "for one node; -nodes gives each its own", "name", "cluster", "routes", "secret", "config", "peers", "until-eof"),
		only(cfg.nodes > 1, "of use with -nodes only", "restart"),
	); err != nil {
		return cfg, err
	}
	switch {
	case f.NArg() > 0:
		return cfg, fmt.Errorf("there is no argument %q", f.Arg(0))
	case cfg.nodes < 1 || cfg.nodes > 9:
		return cfg, errors.New("-nodes is from 1 to 9")
	case cfg.history < 1:
		return cfg, errors.New("-history is 1 or more")
	case cfg.size < 1:
		return cfg, errors.New("-size is 1 or more")
	case cfg.replicas < 0 || cfg.replicas > 5:
		return cfg, errors.New("-replicas is from 1 to 5, or 0")
	case (cfg.cluster == "") != (len(cfg.routes) == 0):
		return cfg, errors.New("-cluster and -routes want each other")
	case cfg.cluster != "" && cfg.name == "":
		return cfg, errors.New("with -cluster each node needs a -name of its own")
	case cfg.secret != "" && cfg.cluster == "":
		return cfg, errors.New("-secret is of use with -cluster only")
	case *storage == "file" && embedded && cfg.dir == "":
		return cfg, errors.New("-storage file needs -dir, for a directory that is still there after a restart")
	case (cfg.cert == "") != (cfg.key == ""):
		return cfg, errors.New("-cert and -key want each other")
	case !names.MatchString(cfg.prefix):
		return cfg, errors.New("-prefix has 1 to 32 letters, digits, - and _")
	case cfg.name != "" && !names.MatchString(cfg.name):
		return cfg, errors.New("-name has 1 to 32 letters, digits, - and _")
	}
	switch *storage {
	case "memory":
		cfg.storage = jetstream.MemoryStorage
	case "file":
		cfg.storage = jetstream.FileStorage
	default:
		return cfg, fmt.Errorf("-storage is memory or file, not %q", *storage)
	}
	for i, peer := range cfg.peers {
		u, err := url.Parse(peer)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return cfg, fmt.Errorf("-peers are as http://host:port, not %q", peer)
		}
		cfg.peers[i] = u.Scheme + "://" + u.Host
	}
	if cfg.replicas == 0 {
		cfg.replicas = 3
		if cfg.nodes > 1 {
			cfg.replicas = min(3, cfg.nodes)
		} else if cfg.cluster != "" {
			cfg.replicas = min(3, len(cfg.routes))
		} else if embedded {
			cfg.replicas = 1
		}
	}
	if cfg.name == "" {
		cfg.name = "n1"
		if host, err := os.Hostname(); err == nil && len(cfg.nats) > 0 {
			cfg.name = host
		}
	}
	return cfg, nil
}

// list defines a flag that is a list with commas.
func list(f *flag.FlagSet, p *[]string, name, usage string) {
	f.Func(name, usage, func(s string) error {
		*p = nil
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*p = append(*p, item)
			}
		}
		return nil
	})
}
