package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// repositoryPackages are the packages of this repository that blocks import by their names.
var repositoryPackages = map[string]string{
	"websocket":     "github.com/duplexkit/websocket",
	"http2":         "github.com/duplexkit/websocket/http2",
	"http3":         "github.com/duplexkit/websocket/http3",
	"websockettest": "github.com/duplexkit/websocket/websockettest",
	"wsprom":        "github.com/duplexkit/websocket/observability/wsprom",
	"wsotel":        "github.com/duplexkit/websocket/observability/wsotel",
}

// standardLibrary returns its packages by their names.
func standardLibrary() (map[string]string, error) {
	list, err := command("", "go", "list", "std")
	if err != nil {
		return nil, err
	}
	packages := map[string]string{}
	for path := range strings.Lines(list) {
		path = strings.TrimSpace(path)
		if slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "internal" || s == "vendor" }) {
			continue
		}
		// Of several the one that is not as deep, as net/url; text/template, which comes later.
		name := baseName(path)
		if other := packages[name]; other == "" || strings.Count(path, "/") <= strings.Count(other, "/") {
			packages[name] = path
		}
	}
	packages["rand"] = "math/rand/v2"
	return packages, nil
}

// A module is one of the repository's.
type module struct {
	dir  string
	path string
	file goMod
}

// goMod is what go mod edit -json tells of a go.mod.
type goMod struct {
	Module  struct{ Path string }
	Go      string
	Require []struct{ Path, Version string }
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
}

func (m module) requires(path string) bool {
	return path == m.path || slices.ContainsFunc(m.file.Require, func(r struct{ Path, Version string }) bool { return r.Path == path })
}

// findModules returns the modules of the repository, the outermost first.
func findModules(root string) ([]module, error) {
	var modules []module
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || name != root && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || d.Name() != "go.mod" {
			return nil
		}
		text, err := command(filepath.Dir(name), "go", "mod", "edit", "-json")
		if err != nil {
			return err
		}
		m := module{dir: filepath.Dir(name)}
		if err := json.Unmarshal([]byte(text), &m.file); err != nil {
			return err
		}
		m.path = m.file.Module.Path
		modules = append(modules, m)
		return nil
	})
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.dir, b.dir) })
	if err == nil && len(modules) == 0 {
		err = fmt.Errorf("no go.mod in %s", root)
	}
	return modules, err
}

// moduleFor returns the first module that has what the packages are in.
func moduleFor(imports []string, modules []module) (module, error) {
	var everywhere []string
	for _, m := range modules {
		everywhere = append(everywhere, m.path)
		for _, r := range m.file.Require {
			everywhere = append(everywhere, r.Path)
		}
	}
	var owners []string
	for _, path := range imports {
		if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
			continue // of the standard library
		}
		owner := ""
		for _, m := range everywhere {
			if strings.HasPrefix(path+"/", m+"/") && len(m) > len(owner) {
				owner = m
			}
		}
		if owner == "" {
			return module{}, fmt.Errorf("no module of the repository requires %s", path)
		}
		owners = append(owners, owner)
	}
	for _, m := range modules {
		if !slices.ContainsFunc(owners, func(o string) bool { return !m.requires(o) }) {
			return m, nil
		}
	}
	return module{}, fmt.Errorf("no module of the repository requires all of %s", strings.Join(owners, ", "))
}

// unitName returns a name for the nth block of a document that can be one of a directory and a program.
func unitName(document string, n int) string {
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(strings.TrimSuffix(document, filepath.Ext(document)), "/", "_"), n)
}

// compile builds and vets the units of a module, in a module that has its requirements. Programs
// go to out, if that is not "".
func compile(m module, units []unit, out string) error {
	scratch, err := os.MkdirTemp("", "codeblocks")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	var packages, programs []string
	for _, u := range units {
		if u.module.dir != m.dir {
			continue
		}
		dir := filepath.Join(scratch, u.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "block.go"), []byte(u.file), 0o600); err != nil {
			return err
		}
		packages = append(packages, "./"+u.name)
		if u.program {
			programs = append(programs, "./"+u.name)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	if err := os.WriteFile(filepath.Join(scratch, "go.mod"), []byte(requirements(m)), 0o600); err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(m.dir, "go.sum"))
	if err == nil {
		err = os.WriteFile(filepath.Join(scratch, "go.sum"), sum, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}

	// Positions are those of the documents, in whose place the compiler puts the directories.
	run := func(args ...string) error {
		_, err := command(scratch, "go", args...)
		if err == nil {
			return nil
		}
		text := err.Error()
		for _, p := range packages {
			text = strings.ReplaceAll(text, filepath.Join(scratch, p)+string(filepath.Separator), "")
			text = strings.ReplaceAll(text, p[2:]+string(filepath.Separator), "")
		}
		return errors.New(text)
	}
	// -o discards what is built, whatever the programs are called.
	if err := run(append([]string{"build", "-mod=mod", "-o", os.DevNull}, packages...)...); err != nil {
		return err
	}
	// A fragment may end where it returns, and does not have to.
	err = run(append([]string{"vet", "-mod=mod", "-unreachable=false"}, packages...)...)
	if err != nil || out == "" || len(programs) == 0 {
		return err
	}
	return run(append([]string{"build", "-mod=mod", "-o", out + string(filepath.Separator)}, programs...)...)
}

// requirements returns the go.mod of a module that requires m and all that m does.
func requirements(m module) string {
	var b strings.Builder
	fmt.Fprintf(&b, "module codeblocks\n\ngo %s\n\nrequire %s v0.0.0\nreplace %[2]s v0.0.0 => %q\n", m.file.Go, m.path, m.dir)
	for _, r := range m.file.Require {
		fmt.Fprintf(&b, "require %s %s\n", r.Path, r.Version)
	}
	for _, r := range m.file.Replace {
		path := r.New.Path
		if r.New.Version == "" { // a directory
			path = filepath.Join(m.dir, path)
		}
		fmt.Fprintf(&b, "replace %s %s => %q %s\n", r.Old.Path, r.Old.Version, path, r.New.Version)
	}
	return b.String()
}

// command runs a command in a directory and returns what it says, as an error if it fails.
func command(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	output, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return "", fmt.Errorf("%s", strings.TrimSpace(string(output)+string(exit.Stderr)))
	}
	return string(output), err
}
