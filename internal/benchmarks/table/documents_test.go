package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const repository = "../../.."

func loadSaved(t *testing.T) saved {
	t.Helper()
	s, err := loadAll("../results")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What the documents and charts of this repository say is what was measured.
func TestDocumentsAreTrue(t *testing.T) {
	differ, err := loadSaved(t).redraw(repository, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(differ) > 0 {
		t.Fatalf("%s: not what the results give; go -C internal/benchmarks run ./table -redraw", strings.Join(differ, ", "))
	}
}

func TestReasons(t *testing.T) {
	s := loadSaved(t)
	for _, b := range []struct {
		results *results
		bars    []bar
	}{{s.network, allBars}, {s.compression, codecBars}, {s.http, http2Bars}} {
		for _, bar := range b.bars {
			_, verdict, _, _ := bar.judge(b.results)
			switch {
			case verdict == "not measured":
				t.Errorf("%s, %s: not measured", bar.what, bar.goal)
			case verdict == notMet && bar.why == "":
				t.Errorf("%s, %s: not met, and nothing says why", bar.what, bar.goal)
			case verdict != notMet && bar.why != "":
				t.Errorf("%s, %s: met, and yet there is a reason why not", bar.what, bar.goal)
			}
		}
	}
}

// Tests, charts and sections that performance.md refers to exist.
func TestReferences(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs/performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	proofs := regexp.MustCompile(`\[(Test\w+)\]\((\S+?)\)`).FindAllSubmatch(text, -1)
	if len(proofs) < 10 {
		t.Errorf("only %d tests are named", len(proofs))
	}
	for _, proof := range proofs {
		source, err := os.ReadFile(filepath.Join(repository, "docs", string(proof[2])))
		if err != nil || !bytes.Contains(source, append([]byte("func "), append(proof[1], '(')...)) {
			t.Errorf("%s is not in %s (%v)", proof[1], proof[2], err)
		}
	}
	for _, link := range regexp.MustCompile(`\]\((\.\./[^)#]*)`).FindAllSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(repository, "docs", string(link[1]))); err != nil {
			t.Error(err)
		}
	}
	sections := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(string(heading[1])), "")
		sections[strings.ReplaceAll(plain, " ", "-")] = true
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)`).FindAllSubmatch(text, -1) {
		if !sections[string(link[1])] {
			t.Errorf("there is no section #%s", link[1])
		}
	}
	shown, err := filepath.Glob("../charts/*.svg")
	if err != nil {
		t.Fatal(err)
	}
	drawn := loadSaved(t).charts()
	for _, file := range shown {
		if drawn[strings.TrimSuffix(filepath.Base(file), ".svg")] == "" {
			t.Errorf("nothing draws %s", file)
		}
	}
}

// Every chart is XML, and no text leaves it or overlaps another one.
func TestChartsAreLegible(t *testing.T) {
	for name, svg := range loadSaved(t).charts() {
		t.Run(name, func(t *testing.T) {
			type box struct {
				text                     string
				left, right, top, bottom float64
			}
			var boxes []box
			var width, height float64
			d := xml.NewDecoder(strings.NewReader(svg))
			number := func(e xml.StartElement, name string) float64 {
				i := slices.IndexFunc(e.Attr, func(a xml.Attr) bool { return a.Name.Local == name })
				x, err := strconv.ParseFloat(e.Attr[i].Value, 64)
				if err != nil {
					t.Fatal(err)
				}
				return x
			}
			for {
				token, err := d.Token()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				e, ok := token.(xml.StartElement)
				if ok && e.Name.Local == "svg" {
					width, height = number(e, "width"), number(e, "height")
				}
				if !ok || e.Name.Local != "text" {
					continue
				}
				var text string
				if err := d.DecodeElement(&text, &e); err != nil {
					t.Fatal(err)
				}
				x, y, wide := number(e, "x"), number(e, "y"), 6*float64(len([]rune(text)))
				for _, a := range e.Attr {
					switch {
					case a.Value == "end":
						x -= wide
					case a.Value == "middle":
						x -= wide / 2
					case a.Value == "title":
						wide *= 1.3
					}
				}
				boxes = append(boxes, box{text, x, x + wide, y - 9, y + 2})
			}
			if len(boxes) < 6 {
				t.Fatalf("only %d texts", len(boxes))
			}
			for i, b := range boxes {
				if b.left < 0 || b.right > width || b.bottom > height {
					t.Errorf("%q leaves the chart: %+v of %v x %v", b.text, b, width, height)
				}
				for _, other := range boxes[:i] {
					if b.left < other.right && other.left < b.right && b.top < other.bottom && other.top < b.bottom {
						t.Errorf("%q overlaps %q", b.text, other.text)
					}
				}
			}
		})
	}
}

func TestSavedResults(t *testing.T) {
	var r results
	if err := r.read(strings.NewReader(networkLines)); err != nil {
		t.Fatal(err)
	}
	r.facts = newFacts(networkLines)
	if r.facts.processors != "2" {
		t.Errorf("%s processors", r.facts.processors)
	}
	r.facts.notes = []string{"A note: with a colon."}
	file := filepath.Join(t.TempDir(), "saved.txt")
	if err := r.saveFile(file); err != nil {
		t.Fatal(err)
	}
	again, err := loadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.header()+again.allTables(), r.header()+r.allTables(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), " ns/op") || !strings.Contains(string(text), "\nPingPong/200x512B/gws cpu-ns/op 6000 4500\n") {
		t.Errorf("got\n%s", text)
	}

	for name, bad := range map[string]string{
		"no figure":          "A/b/c cpu-ns/op\n",
		"not a figure":       "A/b/c cpu-ns/op 1 x\n",
		"a second time":      "A/b/c cpu-ns/op 1\nA/b/c cpu-ns/op 2\n",
		"an unknown fact":    "colour: blue\n",
		"a median of nobody": "A/b/c cpu-ns/op median-of-x 1\n",
		"two medians":        "A/b/c cpu-ns/op median-of-3 1 2\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(strings.NewReader(bad)); err == nil {
				t.Errorf("no error from %q", bad)
			}
		})
	}
}

// Where the median alone is kept, nobody takes it for the least.
func TestMedianAlone(t *testing.T) {
	r, err := load(strings.NewReader("A/b/c cpu-ns/op median-of-10 4400\n"))
	if err != nil {
		t.Fatal(err)
	}
	f := r.all[line{"A/b/c", "cpu-ns/op"}]
	if got := fmt.Sprint(f.median(), f.least(), f.most(), f.rounds()); got != "4400 NaN NaN 10" {
		t.Errorf("got %s", got)
	}
}

func TestFill(t *testing.T) {
	s := loadSaved(t)
	const text = "before\n<!-- results: http2 -->\nold\n<!-- end of results -->\nafter\n"
	got, err := s.fill(text)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n<!-- results: http2 -->\n\n" + strings.TrimSpace(s.http.http2Table()) + "\n\n<!-- end of results -->\nafter\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if again, err := s.fill(got); err != nil || again != got {
		t.Errorf("a second time: %v\n%s", err, again)
	}
	for name, bad := range map[string]string{
		"no end":           "<!-- results: http2 -->\nold\n",
		"the next's end":   "<!-- results: http2 -->\n<!-- results: http3 -->\n<!-- end of results -->\n",
		"an open mark":     "<!-- results: http2\n",
		"no such results":  "<!-- results: http4 -->\n<!-- end of results -->\n",
		"no such view":     "<!-- results: network PingPong colour -->\n<!-- end of results -->\n",
		"no such settings": "<!-- results: compression Write/none -->\n<!-- end of results -->\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.fill(bad); err == nil {
				t.Errorf("no error from %q", bad)
			}
		})
	}
}

// A copy of the repository's documents is mended by -redraw when a figure was changed.
func TestCheckAndRedraw(t *testing.T) {
	root := t.TempDir()
	for _, name := range append(documents, "internal/benchmarks/results/"+networkFile, "internal/benchmarks/results/"+compressionFile, "internal/benchmarks/results/"+httpFile) {
		text, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "internal/benchmarks/charts"), 0o777); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if err := made(&said, root, true); err != nil { // there are no charts
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "charts/pingpong.svg: written\n") || strings.Contains(said.String(), "README.md") {
		t.Errorf("it said\n%s", &said)
	}

	file := filepath.Join(root, "docs/performance.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte("| **not met** |"), []byte("| met |"), 1)
	if bytes.Equal(changed, text) {
		t.Fatal("nothing to change")
	}
	if err := os.WriteFile(file, changed, 0o666); err != nil {
		t.Fatal(err)
	}
	said.Reset()
	if err := made(&said, root, false); err == nil || said.String() != "docs/performance.md: differs from what the results give\n" {
		t.Errorf("%v, and it said\n%s", err, &said)
	}
	if err := made(io.Discard, root, true); err != nil {
		t.Fatal(err)
	}
	if err := made(io.Discard, root, false); err != nil {
		t.Error(err)
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, text) {
		t.Errorf("it is not what it was (%v)", err)
	}
}

// What is measured anew goes to the tables by the way that run.sh takes.
func TestTablesSave(t *testing.T) {
	dir := t.TempDir()
	in, saved := filepath.Join(dir, "in.txt"), filepath.Join(dir, "saved.txt")
	if err := os.WriteFile(in, []byte(networkLines), 0o666); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if err := tables(&said, []string{in}, filepath.Join(dir, "charts"), saved); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "4.00 µs") {
		t.Errorf("it said\n%s", &said)
	}
	if _, err := loadFile(saved); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "charts", "pingpong.svg")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(in, []byte("PASS\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := tables(io.Discard, []string{in}, "", saved); err == nil {
		t.Error("nothing was measured, and that is saved")
	}
	if _, err := loadFile(saved); err != nil {
		t.Errorf("what was saved before is gone: %v", err)
	}
}
