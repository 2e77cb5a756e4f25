package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	gomodule "golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// prepare has the modules below the root module require the version of one another, which
// the commit that is tagged has to say.
func (r *repository) prepare(out io.Writer, version string) error {
	if err := errors.Join(r.fits(version), r.clean()); err != nil {
		return err
	}
	p, err := r.newProxy(version)
	if err != nil {
		return err
	}
	defer p.remove()
	if err := p.add(r.modules[0]); err != nil {
		return err
	}
	for _, m := range r.modules[1:] {
		file := m.file
		for _, other := range r.modules {
			if required(file, other.path()) == "" {
				continue
			}
			if other.dir != "." {
				// The sum of its zip would have to be known, which holds its own go.mod.
				return fmt.Errorf("%s requires %s: only the root module can be required", m.path(), other.path())
			}
			if err := file.AddRequire(other.path(), version); err != nil {
				return err
			}
		}
		for _, replaced := range append([]*modfile.Replace(nil), file.Replace...) {
			if err := file.DropReplace(replaced.Old.Path, replaced.Old.Version); err != nil {
				return err
			}
		}
		file.Cleanup()
		text, err := file.Format()
		if err != nil {
			return err
		}
		dir := filepath.Join(r.dir, m.dir)
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), text, 0o666); err != nil {
			return err
		}
		if _, err := output(dir, p.env, "go", "mod", "tidy"); err != nil { // the sums too
			return err
		}
		fmt.Fprintf(out, "%s requires %s %s\n", m.path(), r.modules[0].path(), version)
	}
	for _, m := range r.follow() {
		if _, err := output(filepath.Join(r.dir, m.dir), p.env, "go", "mod", "tidy"); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s follows\n", m.path())
	}
	fmt.Fprintln(out, "Now commit that, and check the commit.")
	return nil
}

// follow returns the modules that are not published and require one below the root module.
// Their replace stays, but they have to require what that one does.
func (r *repository) follow() (all []module) {
	for _, m := range r.others {
		for _, other := range r.modules[1:] {
			if required(m.file, other.path()) != "" {
				all = append(all, m)
				break
			}
		}
	}
	return all
}

// check tells whether HEAD can be tagged as version.
func (r *repository) check(out io.Writer, version string) error {
	err := errors.Join(r.fits(version), r.clean(), r.dated(version))
	for _, m := range r.modules {
		err = errors.Join(err, r.untagged(m, version), r.standsAlone(m, version))
	}
	if err != nil {
		return err
	}
	if err := r.compare(out, ""); err != nil && !errors.Is(err, errNothingTagged) {
		return err
	}
	p, err := r.newProxy(version)
	if err != nil {
		return err
	}
	defer p.remove()
	for _, m := range r.modules {
		if err := p.add(m); err != nil {
			return err
		}
	}
	for _, m := range r.modules {
		if err := p.build(m); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s builds by itself\n", m.path())
	}
	for _, m := range r.follow() {
		if _, err := output(filepath.Join(r.dir, m.dir), p.env, "go", "mod", "tidy", "-diff"); err != nil {
			return err
		}
	}
	n, err := p.use(r.modules)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "a program that imports all %d packages builds\n", n)
	commands, err := p.install(r.modules[0])
	if err != nil {
		return err
	}
	for _, c := range commands {
		fmt.Fprintf(out, "go install %s@%s works\n", c, version)
	}
	fmt.Fprintln(out, "HEAD can be tagged:")
	for _, m := range r.modules {
		fmt.Fprintf(out, "git tag -a -m %s %[1]s\n", m.tag(version))
	}
	return nil
}

// fits checks that the modules can have the version.
func (r *repository) fits(version string) error {
	if version == "" || version != semver.Canonical(version) {
		return fmt.Errorf("%q is not a version such as v1.2.3", version)
	}
	var err error
	for _, m := range r.modules {
		_, major, _ := gomodule.SplitPathVersion(m.path())
		if e := gomodule.CheckPathMajor(version, major); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", m.path(), e))
		}
		last, e := r.last(m)
		switch {
		case e != nil:
			err = errors.Join(err, e)
		case last != "" && last != version && semver.Compare(version, last) < 0:
			err = errors.Join(err, fmt.Errorf("%s has version %s already", m.path(), last))
		}
	}
	return err
}

// clean checks that HEAD is what the directory has.
func (r *repository) clean() error {
	changed, err := r.git("status", "--porcelain")
	if err == nil && changed != "" {
		err = fmt.Errorf("not all is committed:\n%s", strings.TrimRight(changed, "\n"))
	}
	return err
}

// dated checks that CHANGELOG.md tells of the version.
func (r *repository) dated(version string) error {
	said, dated, err := r.announced()
	if err == nil && (said != version || !dated) {
		err = fmt.Errorf("CHANGELOG.md: the first heading is not ## %s - YYYY-MM-DD", version)
	}
	return err
}

// untagged checks that the version's tag is still free, or HEAD's.
func (r *repository) untagged(m module, version string) error {
	tag := m.tag(version)
	commit, err := r.git("rev-parse", "--verify", "--quiet", "refs/tags/"+tag+"^{commit}")
	if err != nil {
		return nil // there is no such tag
	}
	head, err := r.git("rev-parse", "HEAD")
	if err == nil && commit != head {
		err = fmt.Errorf("%s is the tag of another commit, %s", tag, strings.TrimSpace(commit))
	}
	return err
}

// standsAlone checks that a go.mod means the same to those who download the module.
func (r *repository) standsAlone(m module, version string) error {
	var err error
	for _, replaced := range m.file.Replace {
		err = errors.Join(err, fmt.Errorf("%s replaces %s, which nobody else sees", path.Join(m.dir, "go.mod"), replaced.Old.Path))
	}
	for _, other := range r.modules {
		if v := required(m.file, other.path()); v != "" && v != version {
			err = errors.Join(err, fmt.Errorf("%s requires %s %s", path.Join(m.dir, "go.mod"), other.path(), v))
		}
	}
	return err
}

// required returns the version of the module that is required, "" for none.
func required(file *modfile.File, path string) string {
	for _, require := range file.Require {
		if require.Mod.Path == path {
			return require.Mod.Version
		}
	}
	return ""
}
