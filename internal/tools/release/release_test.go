package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	rootMod  = "module example.org/lib\n\ngo 1.26.0\n"
	otherMod = "module example.org/lib/other\n\ngo 1.26.0\n\nreplace example.org/lib => ..\n\nrequire example.org/lib v0.0.0-00010101000000-000000000000\n"
)

const benchMod = `module example.org/lib/internal/bench

go 1.26.0

replace (
	example.org/lib => ../..
	example.org/lib/other => ../../other
)

require (
	example.org/lib v0.0.0-00010101000000-000000000000
	example.org/lib/other v0.0.0-00010101000000-000000000000
)
`

// A clone is a repository for a test.
type clone struct {
	t   *testing.T
	dir string
}

// newClone returns one with a root module, a module below it, one of internal, and a command.
func newClone(t *testing.T) clone {
	t.Parallel()
	_, err := exec.LookPath("git")
	require.NoError(t, err, "git is needed: apt-get install git")
	c := clone{t, t.TempDir()}
	c.git("init", "--quiet", "--initial-branch=main")
	c.write("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n- All.\n")
	c.write("go.mod", rootMod)
	c.write("lib.go", "// Package lib is for tests.\npackage lib\n\nfunc F(n int) int { return n }\n\nvar V int\n")
	c.write("examples/one/one.go", "package one\n\nfunc Example() {}\n")
	c.write("internal/secret/secret.go", "package secret\n\nfunc S() {}\n")
	c.write("cmd/tool/main.go", "package main\n\nimport \"example.org/lib\"\n\nfunc main() { println(lib.F(1)) }\n")
	c.write("other/go.mod", otherMod)
	c.write("other/other.go", "package other\n\nimport \"example.org/lib\"\n\nfunc G() int { return lib.F(2) }\n\ntype T struct{ A int }\n")
	c.write("internal/bench/go.mod", benchMod)
	c.write("internal/bench/bench.go", "package bench\n\nimport (\n\t\"example.org/lib\"\n\t\"example.org/lib/other\"\n)\n\nvar B = lib.F(3) + other.G()\n")
	c.commit()
	return c
}

func (c clone) git(args ...string) string {
	cmd := exec.Command("git", args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	require.NoError(c.t, err, "git %v: %s", args, out)
	return string(out)
}

func (c clone) write(name, content string) {
	name = filepath.Join(c.dir, name)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(name), 0o777))
	require.NoError(c.t, os.WriteFile(name, []byte(content), 0o666))
}

// edit replaces what a file has once.
func (c clone) edit(name, old, new string) {
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	require.NoError(c.t, err)
	require.Equal(c.t, 1, strings.Count(string(text), old), "%s in %s", old, text)
	c.write(name, strings.Replace(string(text), old, new, 1))
}

func (c clone) commit() {
	c.git("add", "--all")
	c.git("commit", "--quiet", "--allow-empty", "--message=change")
}

// tag tags HEAD, but not lightly: that needs no name.
func (c clone) tag(names ...string) {
	for _, name := range names {
		c.git("tag", "--annotate", "--message="+name, name)
	}
}

// run runs the command and returns what it says.
func (c clone) run(args ...string) (string, error) {
	var out bytes.Buffer
	args = append([]string{args[0], "-root", c.dir}, args[1:]...)
	err := run(args, &out)
	return out.String(), err
}

func TestCompare(t *testing.T) {
	const broken = "may not break what builds with"
	for _, tt := range []struct {
		name    string
		tags    []string
		next    string // what CHANGELOG.md announces
		file    string
		old     string
		new     string
		says    []string
		saysNot string
		err     string
	}{
		{
			name: "nothing is tagged", err: errNothingTagged.Error(),
			says: []string{"example.org/lib: 2 exported names, no tag yet\n", "example.org/lib/other: 2 exported names, no tag yet\n"},
		},
		{
			name: "only a candidate is tagged", tags: []string{"v1.0.0-rc.1", "other/v1.0.0-rc.1", "v1", "nonsense"},
			err: errNothingTagged.Error(),
		},
		{
			name: "nothing changes", tags: []string{"v1.0.0", "other/v1.0.0"},
			says: []string{"example.org/lib: 2 exported names, 0 changes since v1.0.0", "0 changes since other/v1.0.0"},
		},
		{
			name: "a compatible change", tags: []string{"v1.0.0", "other/v1.0.0"}, file: "lib.go", old: "func F(", new: "func H() {}\n\nfunc F(",
			says: []string{"example.org/lib: compatible: H: added", "1 changes since v1.0.0, 0 of them", "other: 2 exported names, 0 changes since other/v1.0.0"},
		},
		{
			name: "an incompatible change", tags: []string{"v1.0.0", "other/v1.0.0"}, file: "lib.go", old: "V int", new: "V string",
			says: []string{"INCOMPATIBLE: V: changed from int to string"}, err: "the next version, of which CHANGELOG.md says nothing, may not break what builds with v1.0.0",
		},
		{
			name: "in a minor version", tags: []string{"v1.0.0", "other/v1.0.0"}, next: ": v1.1.0", file: "lib.go", old: "V int", new: "V string", err: "v1.1.0 may not break what builds with v1.0.0. Mend that, or announce a new major version",
		},
		{
			name: "in a major version", tags: []string{"v1.0.0", "other/v1.0.0"}, next: ": v2.0.0", file: "lib.go", old: "V int", new: "V string",
			says: []string{"1 of them incompatible"},
		},
		{
			name: "a module with another path", tags: []string{"v1.0.0", "other/v1.0.0"}, next: ": v2.0.0", file: "go.mod", old: "org/lib", new: "org/lib/v2",
			says: []string{"example.org/lib/v2: 2 exported names, 0 changes since v1.0.0"},
		},
		{
			name: "in v0", tags: []string{"v0.1.2", "other/v0.1.2"}, next: ": v0.1.3", file: "lib.go", old: "V int", new: "V string", err: "v0.1.3 may not break what builds with v0.1.2. Mend that, or announce a new minor version",
		},
		{
			name: "in a minor version of v0", tags: []string{"v0.1.2", "other/v0.1.2"}, next: ": v0.2.0", file: "lib.go", old: "V int", new: "V string",
			says: []string{"1 of them incompatible"},
		},
		{
			name: "in a version with a date", tags: []string{"v1.9.0", "other/v1.9.0"}, next: "date", file: "lib.go", old: "V int", new: "V string",
			says: []string{"1 of them incompatible"},
		},
		{
			name: "the highest version counts", tags: []string{"v1.9.0", "v1.10.0", "other/v1.10.0"},
			says: []string{"0 changes since v1.10.0"},
		},
		{
			name: "a nested module", tags: []string{"v1.0.0", "other/v1.3.0"}, file: "other/other.go", old: "A int", new: "B int", err: broken,
			says: []string{"other: INCOMPATIBLE: T.A: removed", "since other/v1.3.0", "lib: 2 exported names, 0 changes since v1.0.0"},
		},
		{
			name: "what nobody imports", tags: []string{"v1.0.0", "other/v1.0.0"}, file: "internal/secret/secret.go", old: "func S() {}", new: "",
			says: []string{"0 changes since v1.0.0"}, saysNot: "secret",
		},
		{
			name: "an example", tags: []string{"v1.0.0", "other/v1.0.0"}, file: "examples/one/one.go", old: "func Example() {}", new: "",
			says: []string{"0 changes since v1.0.0"}, saysNot: "one",
		},
		{
			name: "a change that does not compile", tags: []string{"v1.0.0", "other/v1.0.0"}, file: "lib.go", old: "return n", new: "return m",
			err: "undefined: m",
		},
		{
			name: "a heading that says something else", next: " soon", err: `"## Unreleased soon" is neither`,
		},
		{
			name: "a heading with half a version", next: ": v2", err: "v2 is not a version such as v1.2.3",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClone(t)
			c.tag(tt.tags...)
			c.commit()
			switch tt.next {
			case "":
			case "date":
				c.edit("CHANGELOG.md", "## Unreleased", "## v2.0.0 - 2026-11-30")
			default:
				c.edit("CHANGELOG.md", "## Unreleased", "## Unreleased"+tt.next)
			}
			if tt.file != "" {
				c.edit(tt.file, tt.old, tt.new)
			}
			out, err := c.run("compare")
			if tt.err == "" {
				require.NoError(t, err, out)
			} else {
				require.ErrorContains(t, err, tt.err, out)
			}
			for _, s := range tt.says {
				require.Contains(t, out, s)
			}
			if tt.saysNot != "" {
				require.NotContains(t, out, tt.saysNot)
			}
		})
	}
}

// A branch for mending an old version is compared with that one.
func TestCompareOnABranch(t *testing.T) {
	c := newClone(t)
	c.tag("v1.0.0", "other/v1.0.0")
	c.git("switch", "--quiet", "--create", "mend")
	c.commit()
	c.git("switch", "--quiet", "main")
	c.edit("lib.go", "func F(", "func H() {}\n\nfunc F(")
	c.commit()
	c.tag("v1.1.0")
	c.git("switch", "--quiet", "mend")
	out, err := c.run("compare")
	require.NoError(t, err)
	require.Contains(t, out, "0 changes since v1.0.0")
}

func TestCompareWithARevision(t *testing.T) {
	c := newClone(t)
	c.edit("lib.go", "V int", "V string")
	c.write("later/go.mod", "module example.org/lib/later\n\ngo 1.26.0\n")
	c.write("later/later.go", "package later\n\nconst C = 1\n")
	c.git("add", "later")
	out, err := c.run("compare", "-base", "HEAD")
	require.NoError(t, err, "it is for people who look")
	require.Contains(t, out, "INCOMPATIBLE: V")
	require.Contains(t, out, "example.org/lib/later: 1 exported names, not there at HEAD\n")
	_, err = c.run("compare", "-base", "nowhere")
	require.ErrorContains(t, err, "nowhere")
}

// A clone without history has no tags either, and CI must not take that for a reason.
func TestCompareInAShallowClone(t *testing.T) {
	c := newClone(t)
	c.tag("v1.0.0")
	c.commit()
	shallow := clone{t, t.TempDir()}
	shallow.git("clone", "--quiet", "--depth=1", "file://"+c.dir, ".")
	_, err := shallow.run("compare")
	require.EqualError(t, err, "there are versions to compare with, and this clone is shallow: git fetch --unshallow --tags")
	shallow.git("remote", "remove", "origin")
	_, err = shallow.run("compare")
	require.ErrorIs(t, err, errNothingTagged)
	require.ErrorContains(t, err, "but this clone is shallow")
}

// What is not compared with anything could be broken unseen.
func TestCompareMissesModules(t *testing.T) {
	c := newClone(t)
	c.tag("v1.0.0")
	_, err := c.run("compare")
	require.EqualError(t, err, "example.org/lib/other was there at v1.0.0, and has no tag of its own: git fetch --tags")
	c.tag("other/v1.0.0")
	_, err = c.run("compare")
	require.NoError(t, err)
	c.write("later/go.mod", "module example.org/lib/later\n\ngo 1.26.0\n")
	c.write("later/later.go", "package later\n\nconst C = 1\n")
	c.commit()
	out, err := c.run("compare")
	require.NoError(t, err)
	require.Contains(t, out, "example.org/lib/later: 1 exported names, no tag yet")
	c.git("mv", "other", "another")
	c.commit()
	_, err = c.run("compare")
	require.EqualError(t, err, "the module in other, published with v1.0.0, is gone")
}

func TestRelease(t *testing.T) {
	const version = "v1.0.0"
	c := newClone(t)
	c.edit("CHANGELOG.md", "## Unreleased", "## v1.0.0 - 2026-11-30")
	c.commit()
	_, err := c.run("check", version)
	require.ErrorContains(t, err, "other/go.mod replaces example.org/lib, which nobody else sees")
	require.ErrorContains(t, err, "other/go.mod requires example.org/lib v0.0.0-00010101000000-000000000000")

	out, err := c.run("check", "-w", version)
	require.NoError(t, err)
	require.Contains(t, out, "example.org/lib/other requires example.org/lib v1.0.0\n")
	require.Contains(t, out, "example.org/lib/internal/bench follows\n")
	require.Equal(t, "internal/bench/go.mod\n", c.git("grep", "-l", "^replace"), "this one needs it")
	_, err = c.run("check", version)
	require.ErrorContains(t, err, "not all is committed:\n M internal/bench/go.mod\n M other/go.mod\n?? other/go.sum")
	c.commit()

	out, err = c.run("check", version)
	require.NoError(t, err)
	for _, s := range []string{
		"example.org/lib builds by itself\n", "example.org/lib/other builds by itself\n", "imports all 2 packages builds\n",
		"go install example.org/lib/cmd/tool@v1.0.0 works\n",
		"git tag -a -m v1.0.0 v1.0.0\ngit tag -a -m other/v1.0.0 other/v1.0.0\n",
	} {
		require.Contains(t, out, s)
	}
	// What it says can be done, and then the tagged commit still passes.
	c.tag("v1.0.0", "other/v1.0.0")
	_, err = c.run("check", version)
	require.NoError(t, err)
	out, err = c.run("compare")
	require.NoError(t, err, "no replace and a version that nobody can download")
	require.Contains(t, out, "0 changes since other/v1.0.0")

	c.commit()
	_, err = c.run("check", version)
	require.ErrorContains(t, err, "v1.0.0 is the tag of another commit")
	_, err = c.run("check", "v0.9.0")
	require.ErrorContains(t, err, "example.org/lib has version v1.0.0 already")
}

func TestReleaseRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version string
		change  func(c clone)
		err     string
	}{
		{"no version", "1.0.0", func(clone) {}, `"1.0.0" is not a version such as v1.2.3`},
		{"half a version", "v1.0", func(clone) {}, `"v1.0" is not a version such as v1.2.3`},
		{"a major version without its path", "v2.0.0", func(clone) {}, "example.org/lib: version \"v2.0.0\" invalid: should be v0 or v1, not v2"},
		{"no date", "v1.0.0", func(c clone) {
			c.edit("CHANGELOG.md", "## v1.0.0 - 2026-11-30", "## Unreleased: v1.0.0")
		}, "the first heading is not ## v1.0.0 - YYYY-MM-DD"},
		{"another version", "v1.0.1", func(clone) {}, "the first heading is not ## v1.0.1 - YYYY-MM-DD"},
		{"no such day", "v1.0.0", func(c clone) {
			c.edit("CHANGELOG.md", "2026-11-30", "2026-11-31")
		}, "day out of range"},
		{"a file that git does not have", "v1.0.0", func(c clone) {
			c.edit("lib.go", "return n", "return hidden(n)")
			c.write(".gitignore", "hidden.go\n")
			c.write("hidden.go", "package lib\n\nfunc hidden(n int) int { return n }\n")
		}, "undefined: hidden"},
		{"a sum of another content", "v1.0.0", func(c clone) {
			c.edit("other/go.sum", "example.org/lib v1.0.0 h1:", "example.org/lib v1.0.0 h1:AAAA")
		}, "checksum mismatch"},
		{"a module that does not follow", "v1.0.0", func(c clone) {
			c.write("internal/bench/go.mod", benchMod)
		}, "+\texample.org/lib v1.0.0"},
		{"go vet complains", "v1.0.0", func(c clone) {
			c.write("other/other_test.go", "package other\n\nimport \"testing\"\n\nfunc TestG(t *testing.T) { t.Fatalf(\"%d\", \"one\") }\n")
		}, "wrong type string"},
		{"a breaking change", "v0.9.1", func(c clone) {
			c.tag("v0.9.0")
			c.edit("CHANGELOG.md", "v1.0.0", "v0.9.1")
			c.edit("other/go.mod", "v1.0.0", "v0.9.1")
			c.edit("lib.go", "V int", "V string")
		}, "v0.9.1 may not break what builds with v0.9.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClone(t)
			c.edit("CHANGELOG.md", "## Unreleased", "## v1.0.0 - 2026-11-30")
			c.commit()
			_, err := c.run("check", "-w", "v1.0.0")
			require.NoError(t, err)
			c.commit()
			tt.change(c)
			c.commit()
			_, err = c.run("check", tt.version)
			require.ErrorContains(t, err, tt.err)
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"compare", "more"}, {"check"}, {"check", "v1.0.0", "more"}, {"publish"}} {
		require.ErrorContains(t, run(args, &bytes.Buffer{}), "usage:", "%q", args)
	}
	require.ErrorContains(t, run([]string{"compare", "-root", t.TempDir()}, &bytes.Buffer{}), "not a git repository")
}
