//go:build unix

package interop

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// docs/interop.md is made of the rows, by a run of all of them.

var writeMatrix = flag.Bool("matrix", false, "write docs/interop.md if all rows ran and passed; needs WEBSOCKET_INTEROP=all")

const matrixPage = "../../docs/interop.md"

// saveMatrix writes the page.
func saveMatrix() error {
	versions := make(map[string]string)
	for _, row := range rows {
		if _, ok := ran.Load(row.name); !ok {
			return fmt.Errorf("no matrix: no test of %s ran", row.name)
		}
		version, err := row.version()
		if err != nil {
			return fmt.Errorf("no matrix: version of %s: %w", row.name, err)
		}
		versions[row.name] = version
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return err
	}
	system := regexp.MustCompile(`PRETTY_NAME="(.*)"`).FindSubmatch(release)
	if system == nil {
		return errors.New("no matrix: /etc/os-release does not tell the system's name")
	}
	made := fmt.Sprintf("%s on %s, %s, with %s", time.Now().Format(time.DateOnly), system[1], runtime.GOARCH, runtime.Version())
	return os.WriteFile(matrixPage, []byte(matrix(versions, made)), 0o644)
}

// TestMatrixPage checks that docs/interop.md says what the rows say. Versions and date are those of the run that made it.
func TestMatrixPage(t *testing.T) {
	if *writeMatrix {
		t.Skip("it is being written; to see what it says, run without -matrix")
	}
	page, err := os.ReadFile(matrixPage)
	require.NoError(t, err)
	versions := make(map[string]string)
	for _, line := range regexp.MustCompile(`(?m)^\| (\*\*)?(.+?)(\*\*)? \| (\d\S*) \|`).FindAllStringSubmatch(string(page), -1) {
		versions[line[2]] = line[4]
	}
	for _, row := range rows {
		require.Contains(t, versions, row.name, "run the tests with WEBSOCKET_INTEROP=all and -matrix")
	}
	made := regexp.MustCompile(`(?m)^Made (.*)\.$`).FindStringSubmatch(string(page))
	require.NotNil(t, made)
	require.Equal(t, matrix(versions, made[1]), string(page), "run the tests with WEBSOCKET_INTEROP=all and -matrix")
}

// matrix is the page.
func matrix(versions map[string]string, made string) string {
	var b strings.Builder
	b.WriteString(`<!-- Written by the tests of internal/interop with -matrix; not to be edited. -->

# Peers and proxies that this library is tested with

Each row is a program that ran as it is released, with this library at the other
end, or at both ends of a proxy. Those in bold run with every change; the others with
` + "`WEBSOCKET_INTEROP=all go test ./...` in `internal/interop`" + `, which also says how to install what is missing.

Made ` + made + `.

## Peers

Both ends go through these cases, each on a connection of its own: ` + strings.Join(slices.Sorted(maps.Keys(allWell)), ", ") + `.
What a client answers in server close is the close answer; in kill the server drops the connection without a word,
which the client has to see as 1006; many are 100 messages sent without waiting. Messages in fragments, and the close
answer, are seen on the wire.
Our server goes through them with each of its ways to read and write messages, and with
those peers that offer permessage-deflate also compressed, by Serve and by streams. "All" is what our own two ends do; where a peer
does otherwise, it is told [below](#differences).

The offer and the answer of permessage-deflate are those with ` + "`Compression: &websocket.Compression{}`" + ` at
our end and the peer's own default. The tests have further terms, see what is sent on the wire and check
that it keeps to what was agreed.

| | version | its client | its server | permessage-deflate, its client | permessage-deflate, its server |
|---|---|---|---|---|---|
`)
	for _, row := range rows {
		if row.proxy != nil {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |", row.title(), versions[row.name],
			cases(row.client != nil, row.clientDiffers), cases(row.server != nil, row.serverDiffers))
		offers, answers := "no", "no"
		if row.deflate != nil {
			offers, answers = negotiation(row.deflate.offers), negotiation(row.deflate.answers)
		}
		if row.client == nil {
			offers = "–"
		}
		if row.server == nil {
			answers = "–"
		}
		fmt.Fprintf(&b, " %s | %s |\n", offers, answers)
	}

	b.WriteString("\n### Differences\n\n")
	for _, row := range rows {
		if row.remarks != "" && row.proxy == nil {
			fmt.Fprintf(&b, "- %s: %s\n", row.name, row.remarks)
		}
		for _, end := range []struct {
			name string
			differences
		}{{"client", row.clientDiffers}, {"server", row.serverDiffers}} {
			for _, name := range slices.Sorted(maps.Keys(end.differences)) {
				d := end.differences[name]
				result := "not run"
				if d.result != "" {
					result = fmt.Sprintf("%q, not %q", d.result, allWell[name])
				}
				fmt.Fprintf(&b, "- %s, its %s, %s: %s; %s\n", row.name, end.name, name, result, d.why)
			}
		}
	}

	b.WriteString(`
## Proxies

Our client talks to our server through them: all cases, headers and cookies both ways, subprotocol, permessage-deflate end
to end, fragments and pings between them, close codes and reasons, losses at either end (one that is
itself a WebSocket server passes bytes both ways). Settings for those in front of
a server are in [proxies.md](proxies.md).

| | version | kind | drops silent connections, and pings keep them |
|---|---|---|---|
`)
	for _, row := range rows {
		if row.proxy == nil {
			continue
		}
		kind := "in front of a server"
		switch {
		case row.forward != "":
			kind = "on the way out, " + row.forward
		case row.tunnel:
			kind = "a WebSocket server before one of TCP"
		case row.untried == "ws":
			kind += ", TLS"
		case row.untried == "wss":
			kind += ", without TLS"
		default:
			kind += ", with and without TLS"
		}
		silent := "–"
		if row.impatient {
			silent = "tested"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.title(), versions[row.name], kind, silent)
	}
	b.WriteString("\n")
	for _, row := range rows {
		if row.remarks != "" && row.proxy != nil {
			fmt.Fprintf(&b, "- %s: %s\n", row.name, row.remarks)
		}
		for _, line := range slices.Sorted(maps.Keys(row.without)) {
			fmt.Fprintf(&b, "- %s without `%s`: status %d\n", row.name, line, row.without[line])
		}
	}
	b.WriteString("\n## HTTP/2\n\nWebSockets over HTTP/2 (RFC 8441) were seen to work with these; all else above is HTTP/1.1.\n\n")
	b.WriteString(over2("Browsers, whose pages had eight WebSockets on the connection that they came by from our server, and eight over HTTP/2 to HAProxy and to nghttpx",
		func(r row) bool { return r.browser != nil && r.browser.secure != nil }))
	b.WriteString(over2("Proxies in front of a server, for our client", func(r row) bool { return r.http2 }))
	return b.String()
}

// over2 are the names of rows, behind an introduction.
func over2(introduction string, does func(row) bool) string {
	var names []string
	for _, row := range rows {
		if does(row) {
			names = append(names, row.name)
		}
	}
	return fmt.Sprintf("- %s: %s\n", introduction, strings.Join(names, ", "))
}

// title is the name of a row, in bold if it belongs to the first set.
func (r row) title() string {
	if r.full {
		return r.name
	}
	return "**" + r.name + "**"
}

// cases tells which cases an end passes.
func cases(tested bool, d differences) string {
	switch {
	case !tested:
		return "–"
	case len(d) == 0:
		return "all"
	}
	return "all but " + strings.Join(slices.Sorted(maps.Keys(d)), ", ")
}

// negotiation is the first opening in which we leave all to the library, as offer and answer.
func negotiation(openings []opening) string {
	for _, e := range openings {
		if e.ours != nil && reflect.ValueOf(*e.ours).IsZero() {
			answer := e.answer
			if answer == "" {
				answer = "none"
			}
			return fmt.Sprintf("`%s`, answer `%s`", e.offer, answer)
		}
	}
	return "no"
}

// versionNumber is what the versions of Debian's packages have of the project's own.
var versionNumber = regexp.MustCompile(`\d+(\.\d+)*`)

// debian is the version of one of Debian's packages.
func debian(name string) func() (string, error) {
	return func() (string, error) {
		out, err := exec.Command("dpkg-query", "--show", "--showformat=${Version}", name).Output()
		if err != nil {
			return "", err
		}
		_, version, found := strings.Cut(string(out), ":") // after the epoch
		if !found {
			version = string(out)
		}
		return versionNumber.FindString(version), nil
	}
}

// npm is the version of a package of the given directory in testdata.
func npm(dir, name string) func() (string, error) {
	return func() (string, error) {
		p, err := os.ReadFile("testdata/" + dir + "/node_modules/" + name + "/package.json")
		if err != nil {
			return "", err
		}
		var manifest struct{ Version string }
		err = json.Unmarshal(p, &manifest)
		return manifest.Version, err
	}
}

// module is the version of a Go module that these tests are built with.
func module(path string) func() (string, error) {
	return func() (string, error) {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output()
		return strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), err
	}
}

// goVersion is Go's, and so net/http's.
func goVersion() (string, error) {
	return versionNumber.FindString(runtime.Version()), nil
}

// javaVersion is that of the java that is run.
func javaVersion() (string, error) {
	out, err := exec.Command("java", "-version").CombinedOutput()
	return versionNumber.FindString(string(out)), err
}
