package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/mod/semver"
	"golang.org/x/tools/go/packages"
)

// compare tells how the API of each module differs from its last version, or from base, and
// fails if the version to come may not differ so.
func (r *repository) compare(out io.Writer, base string) error {
	next, _, err := r.announced()
	if err != nil {
		return err
	}
	tagged := false
	var problems error // of one module, which does not hide those of another
	for _, m := range r.modules {
		compared, err := r.compareModule(out, m, base, next)
		if err != nil {
			problems = errors.Join(problems, fmt.Errorf("%s: %w", m.path(), err))
		}
		tagged = tagged || compared
	}
	if base != "" {
		return problems
	}
	if err := r.allThere(); err != nil {
		problems = errors.Join(problems, err)
	}
	if problems != nil || tagged {
		return problems
	}
	shallow, err := r.git("rev-parse", "--is-shallow-repository")
	if err == nil && strings.TrimSpace(shallow) == "true" {
		const cure = "this clone is shallow: git fetch --unshallow --tags"
		if tags, err := r.git("ls-remote", "--tags", "origin", "v*", "*/v*"); err == nil && tags != "" {
			return errors.New("there are versions to compare with, and " + cure)
		}
		return fmt.Errorf("%w; but %s", errNothingTagged, cure)
	}
	return errNothingTagged
}

// allThere returns an error if a module that was published with the last version of the root
// module is gone, or if its own tag is: neither would be compared with anything.
func (r *repository) allThere() error {
	version, err := r.last(r.modules[0])
	if version == "" || err != nil {
		return err
	}
	since := r.modules[0].tag(version)
	files, err := r.git("ls-tree", "-r", "--name-only", since)
	if err != nil {
		return err
	}
	var missing error
	for name := range strings.FieldsSeq(files) {
		dir := path.Dir(name)
		if path.Base(name) != "go.mod" || !isPublished(dir) {
			continue
		}
		i := slices.IndexFunc(r.modules, func(m module) bool { return m.dir == dir })
		if i < 0 {
			missing = errors.Join(missing, fmt.Errorf("the module in %s, published with %s, is gone", dir, since))
			continue
		}
		if last, err := r.last(r.modules[i]); err != nil || last == "" {
			missing = errors.Join(missing, err, fmt.Errorf("%s was there at %s, and has no tag of its own: git fetch --tags", r.modules[i].path(), since))
		}
	}
	return missing
}

// compareModule is compare for one module. It tells whether there was something to compare
// with.
func (r *repository) compareModule(out io.Writer, m module, base, next string) (compared bool, err error) {
	now, err := load(r.dir, m)
	if err != nil {
		return false, err
	}
	last, since := "", base
	if base == "" {
		if last, err = r.last(m); err != nil {
			return false, err
		}
		if last == "" {
			fmt.Fprintf(out, "%s: %d exported names, no tag yet\n", m.path(), names(now))
			return false, nil
		}
		since = m.tag(last)
	}
	then, err := r.at(since, m.dir)
	if err != nil {
		return false, err
	}
	if then == nil {
		fmt.Fprintf(out, "%s: %d exported names, not there at %s\n", m.path(), names(now), since)
		return false, nil
	}
	incompatible := 0
	report := apidiff.ModuleChanges(then, now)
	for _, c := range report.Changes {
		kind := "compatible"
		if !c.Compatible {
			kind = "INCOMPATIBLE"
			incompatible++
		}
		fmt.Fprintf(out, "%s: %s: %s\n", m.path(), kind, c.Message)
	}
	fmt.Fprintf(out, "%s: %d exported names, %d changes since %s, %d of them incompatible\n",
		m.path(), names(now), len(report.Changes), since, incompatible)
	if base == "" && incompatible > 0 && !mayBreak(last, next) {
		return true, errors.New(advice(last, next))
	}
	return true, nil
}

// mayBreak tells whether programs for one version need not build with the next. "" is a
// version that nobody has announced.
func mayBreak(last, next string) bool {
	if next == "" || semver.Compare(next, last) <= 0 {
		return false
	}
	if semver.Major(last) == "v0" {
		return semver.MajorMinor(next) != semver.MajorMinor(last)
	}
	return semver.Major(next) != semver.Major(last)
}

// advice says what may be done about incompatible changes.
func advice(last, next string) string {
	said := next
	if next == "" || semver.Compare(next, last) <= 0 {
		said = "the next version, of which CHANGELOG.md says nothing,"
	}
	what := "a new major version"
	if semver.Major(last) == "v0" {
		what = "a new minor version"
	}
	return fmt.Sprintf("%s may not break what builds with %s. Mend that, or announce %s: ## Unreleased: vX.Y.Z", said, last, what)
}

// at returns the API of the module in dir at a revision, nil if it was not there.
func (r *repository) at(revision, dir string) (*apidiff.Module, error) {
	scratch, err := os.MkdirTemp("", "release")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	if err := r.extract(revision, scratch); err != nil {
		return nil, err
	}
	old := repository{dir: scratch}
	file, err := old.goMod(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return load(scratch, module{dir: dir, file: file})
}

// load returns the API of a module in the tree at root. It is built with the root module
// beside it, even if it requires a version that nobody can download yet.
func load(root string, m module) (*apidiff.Module, error) {
	work, err := os.MkdirTemp("", "release")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	dir := filepath.Join(root, m.dir)
	text := fmt.Sprintf("go %s\n\nuse %q\n", m.file.Go.Version, filepath.ToSlash(dir))
	if m.dir != "." {
		text += fmt.Sprintf("use %q\n", filepath.ToSlash(root))
		below := repository{dir: root}
		file, err := below.goMod(".")
		if err != nil {
			return nil, err
		}
		path := file.Module.Mod.Path
		if version := required(m.file, path); version != "" { // go looks for it although it is not used
			text += fmt.Sprintf("replace %s %s => %q\n", path, version, filepath.ToSlash(root))
		}
	}
	file := filepath.Join(work, "go.work")
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		return nil, err
	}
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedTypes,
		Dir:  dir,
		Env:  append(os.Environ(), "GOWORK="+file),
	}, "./...")
	if err != nil {
		return nil, err
	}
	api := &apidiff.Module{Path: m.path()}
	for _, p := range loaded {
		below := strings.TrimPrefix(p.PkgPath, m.path())
		if p.Name == "main" || !isPublished(strings.TrimPrefix(below, "/")) {
			continue
		}
		for _, e := range p.Errors {
			err = errors.Join(err, e)
		}
		api.Packages = append(api.Packages, p.Types)
	}
	if err == nil && len(api.Packages) == 0 {
		err = fmt.Errorf("%s has no packages", m.path())
	}
	return api, err
}

// names counts the exported names of a module's packages, methods and fields not counted.
func names(m *apidiff.Module) int {
	n := 0
	for _, p := range m.Packages {
		for _, name := range p.Scope().Names() {
			if p.Scope().Lookup(name).Exported() {
				n++
			}
		}
	}
	return n
}
