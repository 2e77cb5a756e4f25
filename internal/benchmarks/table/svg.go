package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// A drawing is a chart of horizontal bars: one panel or several side by side, whose bars
// have their names on the left of the first.
type drawing struct {
	title  string
	width  int
	panels []panel
	legend []legend
}

type panel struct {
	unit string // what the bars show
	bars []stripe
	mark float64 // where a dashed line stands, 0 for none
}

// A stripe is a bar of a chart.
type stripe struct {
	name, text, kind string
	value            float64
	beyond           float64 // the end of a pale bar, 0 for none
}

type legend struct{ kind, text string }

// The colours can be read on their own ground, which is that of a page by day or by
// night. A page's ground may be another than that of the reader's system, so that the
// drawing brings its own.
const style = `<style>
text{font:12px -apple-system,"Segoe UI","Liberation Sans",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:14px;font-weight:600}.soft{fill:#59636e;font-size:11px}
.ground{fill:#fff;stroke:#d0d7de}.grid{stroke:#e4e8ec}.mark{stroke:#9a6700;stroke-dasharray:4 3}
.under{fill:#fff}
.ours{fill:#0969da}.best{fill:#57606a}.peer{fill:#afb8c1}.floor{fill:#d4a72c}.pale{opacity:.4}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.soft{fill:#9198a1}
.ground{fill:#0d1117;stroke:#30363d}.grid{stroke:#262c33}.mark{stroke:#d29922}.under{fill:#0d1117}
.ours{fill:#4493f8}.best{fill:#a2abb5}.peer{fill:#5b646e}.floor{fill:#bb8009}}
</style>
`

const (
	margin    = 14
	lineOf    = 22 // the height of a bar with what lies between
	thickness = 13
	letter    = 6.7 // the width of most letters at most, in a font of 12 px
)

// Products are converted before anything is added: processors that do both at once
// round differently, and charts are the same everywhere.
func widthOf(s string) float64 { return float64(letter * float64(len([]rune(s)))) }

// svg returns d as SVG.
func (d drawing) svg() string {
	rows := len(d.panels[0].bars)
	names := 0.0
	for _, b := range d.panels[0].bars {
		names = max(names, widthOf(b.name))
	}
	const top = 56
	bottom := top + rows*lineOf
	legends := 0
	if len(d.legend) > 0 {
		legends = d.legendLines() * 18
	}
	height := bottom + 30 + legends
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="t">`+"\n",
		d.width, height, d.width, height)
	fmt.Fprintf(&b, "<title id=\"t\">%s</title>\n%s", escape(d.title+": "+d.panels[0].unit), style)
	fmt.Fprintf(&b, `<rect class="ground" x=".5" y=".5" width="%d" height="%d" rx="6"/>`+"\n", d.width-1, height-1)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="24">%s</text>`+"\n", margin, escape(d.title))
	for i, bar := range d.panels[0].bars {
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="end">%s</text>`+"\n", margin+names, top+i*lineOf+15, escape(bar.name))
	}
	left := margin + names + 8
	each := (float64(d.width) - margin - left) / float64(len(d.panels))
	for i, p := range d.panels {
		x := left + float64(float64(i)*each)
		unitAt := x
		if len(d.panels) == 1 {
			unitAt = margin
		}
		fmt.Fprintf(&b, `<text class="soft" x="%.0f" y="44">%s</text>`+"\n", unitAt, escape(p.unit))
		width := each
		if i+1 < len(d.panels) {
			width -= 40
		}
		p.draw(&b, x, width, top, bottom)
	}
	x, y := float64(margin), bottom+30+2
	for _, l := range d.legend {
		if x+widthOf(l.text)+30 > float64(d.width) {
			x, y = margin, y+18
		}
		fmt.Fprintf(&b, `<rect class="%s" x="%.0f" y="%d" width="10" height="10" rx="2"/><text class="soft" x="%.0f" y="%d">%s</text>`+"\n",
			l.kind, x, y, x+15, y+9, escape(l.text))
		x += widthOf(l.text) + 30
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (d drawing) legendLines() int {
	lines, x := 1, float64(margin)
	for _, l := range d.legend {
		if x+widthOf(l.text)+30 > float64(d.width) {
			lines, x = lines+1, margin
		}
		x += widthOf(l.text) + 30
	}
	return lines
}

// draw draws the bars of p, whose names are there.
func (p panel) draw(b *strings.Builder, left, width float64, top, bottom int) {
	// The greatest figure has to leave room for its text.
	most := p.mark
	for _, bar := range p.bars {
		most = max(most, bar.value, bar.beyond)
	}
	scale := width / most
	for _, bar := range p.bars {
		if end := max(bar.value, bar.beyond); end > 0 {
			scale = min(scale, (width-widthOf(bar.text)-6)/end)
		}
	}
	at := func(value float64) float64 { return left + float64(value*scale) }
	step := niceStep(most, int(width/60))
	for i := 0; i == 0 || float64(i)*step <= float64(most*1.0001); i++ {
		x := float64(float64(i) * step)
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %dV%d"/><text class="soft" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			at(x), top, bottom, at(x), bottom+15, trimmed(x))
	}
	for i, bar := range p.bars {
		y := top + i*lineOf + (lineOf-thickness)/2
		if bar.beyond > 0 {
			fmt.Fprintf(b, `<rect class="%s pale" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", bar.kind, left, y, bar.beyond*scale, thickness)
		}
		fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", bar.kind, left, y, max(bar.value*scale, 1), thickness)
	}
	if p.mark > 0 {
		fmt.Fprintf(b, `<path class="mark" d="M%.1f %dV%d"/>`+"\n", at(p.mark), top, bottom)
	}
	for i, bar := range p.bars {
		x, y := at(max(bar.value, bar.beyond))+5, top+i*lineOf
		if x < at(p.mark) && at(p.mark) < x+widthOf(bar.text) { // the dashed line would strike it out
			fmt.Fprintf(b, `<rect class="under" x="%.1f" y="%d" width="%.1f" height="%d"/>`+"\n", x-2, y, widthOf(bar.text)+2, lineOf)
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", x, y+15, escape(bar.text))
	}
}

// niceStep is 1, 2 or 5 times a power of ten, so that most has n steps at most.
func niceStep(most float64, n int) float64 {
	for power := math.Pow(10, math.Floor(math.Log10(most))-2); ; power *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if most/(m*power) <= float64(max(n, 1)) {
				return m * power
			}
		}
	}
}

func trimmed(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", x), "0"), ".")
}

func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic(err) // a strings.Builder takes everything
	}
	return b.String()
}
