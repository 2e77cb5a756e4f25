package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	gomodule "golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// A proxy serves a version of the modules from files, as it would be once it is tagged.
type proxy struct {
	r       *repository
	version string
	dir     string
	env     []string // for commands that use the proxy
}

// newProxy returns an empty one. What it does not have comes from the module cache, or from
// where modules usually come from; what is downloaded stays out of that cache, for a version
// that was never published must not be found there.
func (r *repository) newProxy(version string) (*proxy, error) {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return nil, err
	}
	p := &proxy{r: r, version: version, dir: dir}
	said, err := output(dir, nil, "go", "env", "-json", "GOMODCACHE", "GOPROXY")
	if err != nil {
		p.remove()
		return nil, err
	}
	var env struct{ GOMODCACHE, GOPROXY string }
	if err := json.Unmarshal([]byte(said), &env); err != nil {
		p.remove()
		return nil, err
	}
	own := []string{fileURL(filepath.Join(dir, "proxy")), fileURL(filepath.Join(env.GOMODCACHE, "cache", "download")), env.GOPROXY}
	p.env = []string{
		"GOWORK=off",
		"GOFLAGS=-modcacherw",
		"GOPROXY=" + strings.Join(own, ","),
		"GONOSUMDB=" + r.modules[0].path(),
		"GOMODCACHE=" + filepath.Join(dir, "cache"),
		"GOBIN=" + filepath.Join(dir, "bin"),
	}
	return p, nil
}

// fileURL is the URL of a directory.
func fileURL(dir string) string {
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(dir), "/")
}

func (p *proxy) remove() { os.RemoveAll(p.dir) }

// add puts a module in, as HEAD has it.
func (p *proxy) add(m module) error {
	escaped, err := gomodule.EscapePath(m.path())
	if err != nil {
		return err
	}
	dir := filepath.Join(p.dir, "proxy", filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	text, err := p.r.git("show", "HEAD:./"+filepath.ToSlash(filepath.Join(m.dir, "go.mod")))
	if err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": p.version, "Time": time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"list": p.version + "\n", p.version + ".info": string(info), p.version + ".mod": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, p.version+".zip"))
	if err != nil {
		return err
	}
	subdir := m.dir
	if subdir == "." {
		subdir = ""
	}
	err = zip.CreateFromVCS(f, gomodule.Version{Path: m.path(), Version: p.version}, p.r.dir, "HEAD", subdir)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// build downloads a module and builds it, with its tests, outside of any workspace.
func (p *proxy) build(m module) error {
	said, err := output(p.dir, p.env, "go", "mod", "download", "-json", m.path()+"@"+p.version)
	if err != nil {
		return err
	}
	var download struct{ Zip string }
	if err := json.Unmarshal([]byte(said), &download); err != nil {
		return err
	}
	dir := filepath.Join(p.dir, "alone", m.dir)
	if m.dir == "." {
		dir = filepath.Join(p.dir, "root")
	}
	if err := zip.Unzip(dir, gomodule.Version{Path: m.path(), Version: p.version}, download.Zip); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"mod", "tidy", "-diff"},
		{"build", "./..."},
		{"vet", "./..."},
	} {
		if _, err := output(dir, p.env, "go", args...); err != nil {
			return fmt.Errorf("%s by itself: %w", m.path(), err)
		}
	}
	return nil
}

// use builds a program that imports the packages of all modules.
func (p *proxy) use(modules []module) (n int, err error) {
	dir := filepath.Join(p.dir, "program")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 0, err
	}
	program := "package main\n\nimport (\n"
	require := []string{"get"}
	for _, m := range modules {
		require = append(require, m.path()+"@"+p.version)
		api, err := load(p.r.dir, m)
		if err != nil {
			return 0, err
		}
		for _, pkg := range api.Packages {
			program += fmt.Sprintf("\t_ %q\n", pkg.Path())
			n++
		}
	}
	program += ")\n\nfunc main() {}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o666); err != nil {
		return 0, err
	}
	for _, args := range [][]string{{"mod", "init", "example.org/program"}, require, {"mod", "tidy"}, {"build", "."}} {
		if _, err := output(dir, p.env, "go", args...); err != nil {
			return 0, fmt.Errorf("a program that uses it: %w", err)
		}
	}
	return n, nil
}

// install installs the commands of a module as people do.
func (p *proxy) install(m module) (commands []string, err error) {
	said, err := p.r.git("ls-files", "--", "cmd/*/main.go")
	if err != nil {
		return nil, err
	}
	for _, file := range strings.Fields(said) {
		command := m.path() + "/" + strings.TrimSuffix(file, "/main.go")
		if _, err := output(p.dir, p.env, "go", "install", command+"@"+p.version); err != nil {
			return nil, err
		}
		commands = append(commands, command)
	}
	built, err := os.ReadDir(filepath.Join(p.dir, "bin"))
	if err != nil && len(commands) > 0 {
		return nil, err
	}
	if len(built) != len(commands) {
		return nil, fmt.Errorf("go install has made %d commands and not %d", len(built), len(commands))
	}
	return commands, nil
}
