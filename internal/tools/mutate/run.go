package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fate is what became of a mutant.
type fate int

const (
	survived     fate = iota
	killedByOwn       // by the tests of the file
	killedByAll       // by the other tests of the package
	killedByTime      // it never ended
)

func (f fate) String() string {
	return [...]string{"survived", "killed by its file's tests", "killed by the package's tests", "killed: it does not end"}[f]
}

type result struct {
	mutant *mutant
	fate   fate
}

type runner struct {
	dir     string // of the package
	work    string // for files of ours
	workers int    // mutants at a time against the tests of their file
	waiting int    // and against all tests
	own     bool   // no other tests
	skip    string // for -test.skip
	log     io.Writer
}

// suite is a choice of tests and how long they may take.
type suite struct {
	run     string // for -test.run
	timeout time.Duration
}

// run tries all mutants of the targets and returns what became of those that compile, in
// the order of the sources.
func (r *runner) run(ctx context.Context, targets []target) ([]result, error) {
	files := make(map[string]*file)
	var ms []*mutant
	for _, t := range targets {
		src, err := os.ReadFile(filepath.Join(r.dir, t.file))
		if err != nil {
			return nil, err
		}
		f, err := parseFile(t.file, string(src))
		if err != nil {
			return nil, err
		}
		of, err := f.mutants(t.leftOut)
		if err != nil {
			return nil, err
		}
		files[t.file] = f
		ms = append(ms, of...)
	}
	p, ms, err := compiling(r.dir, files, ms)
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(r.work, "all.test")
	if err := r.build(ctx, p.overlay, binary); err != nil {
		return nil, err
	}
	own, all, err := r.suites(ctx, targets, binary)
	if err != nil {
		return nil, err
	}

	// First every mutant against the tests of its file, then the survivors against all tests.
	results := make([]*result, len(ms))
	binaries := make([]string, len(ms))
	err = each(ctx, r.workers, len(ms), func(ctx context.Context, i int) error {
		m := ms[i]
		binaries[i] = binary
		if m.kind == inConst {
			built, err := r.buildConst(ctx, m, files[m.file])
			if built == "" {
				return err
			}
			binaries[i] = built
		}
		results[i] = &result{m, survived}
		for _, s := range own[m.file] {
			failed, ended, err := r.fails(ctx, binaries[i], m, s)
			if err != nil {
				return err
			}
			if failed {
				results[i].fate = killedByOwn
				if !ended {
					results[i].fate = killedByTime
				}
				break
			}
		}
		if m.kind == inConst && results[i].fate != survived {
			r.remove(binaries[i])
		}
		fmt.Fprintf(r.log, "%s: %v\n", m.key(), results[i].fate)
		return nil
	})
	if err == nil && !r.own {
		err = each(ctx, r.waiting, len(ms), func(ctx context.Context, i int) error {
			if results[i] == nil || results[i].fate != survived {
				return nil
			}
			// Among so many tests on a busy machine one may fail by itself: a mutant is killed by two failures.
			for range 2 {
				failed, _, err := r.fails(ctx, binaries[i], ms[i], all)
				if err != nil || !failed {
					fmt.Fprintf(r.log, "%s: %v\n", ms[i].key(), survived)
					return err
				}
			}
			results[i].fate = killedByAll
			fmt.Fprintf(r.log, "%s: %v\n", ms[i].key(), killedByAll)
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	var counted []result
	for _, result := range results {
		if result != nil {
			counted = append(counted, *result)
		}
	}
	return counted, nil
}

// each calls f for 0 to n-1, several at a time, until one fails.
func each(ctx context.Context, workers, n int, f func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range queue {
				if ctx.Err() != nil {
					continue
				}
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		queue <- i
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

// suites returns each file's own tests, the ones that run first in front, and all tests.
// They have to pass without a mutant; how long that takes says what time a mutant gets.
func (r *runner) suites(ctx context.Context, targets []target, binary string) (own map[string][]suite, all suite, err error) {
	own = make(map[string][]suite)
	for _, t := range targets {
		first, rest, err := testNames(filepath.Join(r.dir, t.tests), t.first)
		if err != nil {
			return nil, suite{}, err
		}
		for _, names := range [][]string{first, rest} {
			if len(names) == 0 {
				continue
			}
			s, err := r.baseline(ctx, binary, "^("+strings.Join(names, "|")+")$")
			if err != nil {
				return nil, suite{}, fmt.Errorf("%s without a mutant: %w", t.tests, err)
			}
			own[t.file] = append(own[t.file], s)
		}
	}
	if !r.own {
		if all, err = r.baseline(ctx, binary, "."); err != nil {
			return nil, suite{}, fmt.Errorf("all tests without a mutant: %w", err)
		}
		all.timeout *= time.Duration(r.waiting) // so many share the machine
	}
	return own, all, nil
}

func (r *runner) baseline(ctx context.Context, binary, run string) (suite, error) {
	start := time.Now()
	output, err := r.test(ctx, binary, 0, suite{run, 10 * time.Minute})
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, output)
	}
	return suite{run, 10*time.Second + 5*time.Since(start)}, err
}

var testFunc = regexp.MustCompile(`^(Test|Fuzz|Example)`)

// testNames returns the names of the tests in a file, those that match pattern apart.
func testNames(path, pattern string) (first, rest []string, err error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := parseFile(path, string(src))
	if err != nil {
		return nil, nil, err
	}
	matches := regexp.MustCompile(pattern)
	for _, decl := range f.ast.Decls {
		if decl, ok := decl.(*ast.FuncDecl); ok && decl.Recv == nil && testFunc.MatchString(decl.Name.Name) {
			if matches.MatchString(decl.Name.Name) {
				first = append(first, decl.Name.Name)
			} else {
				rest = append(rest, decl.Name.Name)
			}
		}
	}
	return first, rest, nil
}

// build builds the package's tests with the files of overlay in place of its own.
func (r *runner) build(ctx context.Context, overlay map[string]string, binary string) error {
	replace := make(map[string]string)
	for path, src := range overlay {
		copied := binary + "." + filepath.Base(path)
		if err := os.WriteFile(copied, []byte(src), 0o600); err != nil {
			return err
		}
		replace[path] = copied
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	if err := os.WriteFile(binary+".json", list, 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", binary+".json", "-o", binary, ".")
	cmd.Dir = r.dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return &buildError{string(output)}
	}
	return nil
}

type buildError struct{ output string }

func (e *buildError) Error() string { return "the program does not build: " + e.output }

// buildConst builds a program with the one mutant m in it. The name is "" if that does not
// compile.
func (r *runner) buildConst(ctx context.Context, m *mutant, f *file) (binary string, err error) {
	binary = filepath.Join(r.work, strconv.Itoa(m.number)+".test")
	err = r.build(ctx, map[string]string{filepath.Join(r.dir, m.file): m.edit.apply(f.src)}, binary)
	if err == nil {
		return binary, nil
	}
	r.remove(binary)
	if broken := new(buildError); errors.As(err, &broken) && ctx.Err() == nil {
		err = nil
	}
	return "", err
}

func (r *runner) remove(binary string) {
	paths, _ := filepath.Glob(binary + "*")
	for _, path := range paths {
		_ = os.Remove(path)
	}
}

// fails reports whether a suite fails against m, and whether it came to an end.
func (r *runner) fails(ctx context.Context, binary string, m *mutant, s suite) (failed, ended bool, err error) {
	output, err := r.test(ctx, binary, m.number, s)
	if err == nil {
		return false, true, nil
	}
	if ctx.Err() != nil {
		return false, false, context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(output, "panic: test timed out") {
		return true, false, nil
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
		return true, true, nil
	}
	return false, false, err
}

// test runs a suite against the mutant with this number, 0 is none. A mutant may ask for
// memory without end, so it is given 4 GiB of address space.
func (r *runner) test(ctx context.Context, binary string, number int, s suite) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -v 4194304; exec "$0" "$@"`, binary,
		"-test.short", "-test.failfast="+strconv.FormatBool(number != 0), "-test.timeout="+s.timeout.String(), "-test.run="+s.run, "-test.skip="+r.skip)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), numberVariable+"="+strconv.Itoa(number))
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return out.String(), err
}
