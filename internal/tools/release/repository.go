package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// A repository is a clone with the modules in it.
type repository struct {
	dir     string
	modules []module // those that are published, the root module first
	others  []module // those that are not published
}

// A module is one of the repository's.
type module struct {
	dir  string // within the repository, "." for the root module
	file *modfile.File
}

func (m module) path() string { return m.file.Module.Mod.Path }

// tag is the tag of a version of m.
func (m module) tag(version string) string {
	return path.Join(m.dir, version)
}

// unpublished are the directories whose modules and packages nobody imports.
var unpublished = []string{"internal", "examples", "cmd", "autobahn", "testdata"}

// isPublished tells whether others may use what is in dir.
func isPublished(dir string) bool {
	return !slices.ContainsFunc(strings.Split(dir, "/"), func(s string) bool { return slices.Contains(unpublished, s) })
}

// open finds the modules of the clone in dir.
func open(dir string) (*repository, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &repository{dir: dir}
	files, err := r.git("ls-files", "--", "go.mod", "*/go.mod")
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Fields(files) {
		m := module{dir: path.Dir(name)}
		if m.file, err = r.goMod(m.dir); err != nil {
			return nil, err
		}
		if isPublished(m.dir) {
			r.modules = append(r.modules, m)
		} else {
			r.others = append(r.others, m)
		}
	}
	slices.SortFunc(r.modules, func(a, b module) int { return strings.Compare(a.dir, b.dir) })
	if len(r.modules) == 0 || r.modules[0].dir != "." {
		return nil, fmt.Errorf("%s has no go.mod", dir)
	}
	return r, nil
}

// goMod reads the go.mod of a module.
func (r *repository) goMod(dir string) (*modfile.File, error) {
	name := filepath.Join(r.dir, dir, "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(path.Join(dir, "go.mod"), text, nil)
}

// git runs a command of git and returns what it says.
func (r *repository) git(args ...string) (string, error) {
	return output(r.dir, nil, "git", args...)
}

// output runs a command and returns what it says.
func output(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(out.String() + errs.String())
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said)
	}
	return out.String(), nil
}

// last returns the highest version of m that HEAD descends from, "" for none. Versions such
// as v1.2.0-rc.1 promise nothing.
func (r *repository) last(m module) (version string, err error) {
	prefix := strings.TrimSuffix(m.tag("v"), "v")
	tags, err := r.git("tag", "--merged", "HEAD", "--list", prefix+"v*")
	if err != nil {
		return "", err
	}
	for _, tag := range strings.Fields(tags) {
		v := strings.TrimPrefix(tag, prefix)
		if v == semver.Canonical(v) && semver.Prerelease(v) == "" && (version == "" || semver.Compare(v, version) > 0) {
			version = v
		}
	}
	return version, nil
}

// extract writes the files of a revision below dir.
func (r *repository) extract(revision, dir string) error {
	archive, err := r.git("archive", "--format=tar", revision)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for files := tar.NewReader(strings.NewReader(archive)); ; {
		h, err := files.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg { // no link has Go in it
			continue
		}
		content, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(path.Dir(h.Name), 0o777); err != nil {
			return err
		}
		if err := root.WriteFile(h.Name, content, 0o666); err != nil {
			return err
		}
	}
}

// headings are what the first heading of CHANGELOG.md may be.
var headings = regexp.MustCompile(`^## (?:Unreleased(?:: (v\S+))?|(v\S+) - (\d{4}-\d\d-\d\d))$`)

// announced returns the version of the first heading of CHANGELOG.md, "" if it does not say
// any, and whether it is dated.
func (r *repository) announced() (version string, dated bool, err error) {
	text, err := os.ReadFile(filepath.Join(r.dir, "CHANGELOG.md"))
	if err != nil {
		return "", false, err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasPrefix(line, "## ") {
			continue
		}
		m := headings.FindStringSubmatch(line)
		if m == nil {
			return "", false, fmt.Errorf("CHANGELOG.md: %q is neither ## Unreleased, ## Unreleased: vX.Y.Z nor ## vX.Y.Z - YYYY-MM-DD", line)
		}
		version = m[1] + m[2]
		if version != "" && version != semver.Canonical(version) {
			return "", false, fmt.Errorf("CHANGELOG.md: %s is not a version such as v1.2.3", version)
		}
		if m[3] != "" {
			if _, err := time.Parse(time.DateOnly, m[3]); err != nil {
				return "", false, fmt.Errorf("CHANGELOG.md: %w", err)
			}
		}
		return version, m[3] != "", nil
	}
	return "", false, errors.New("CHANGELOG.md has no heading for a version")
}
