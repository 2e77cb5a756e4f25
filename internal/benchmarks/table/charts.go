package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A chart shows the least figures of a cell, a bar for each library.
type chart struct {
	file, title string
	table, row  string
	unit        string
	form        func(float64) string
}

var charts = []chart{
	{"pingpong", "Echo, 200 connections, 512 B: µs of the processor for a message", "PingPong", "200x512B", "cpu-ns/op", micro},
	{"pipelined", "Echo, 64 messages per write: µs of the processor for a message", "Pipelined", "64", "cpu-ns/op", micro},
	{"writers", "8 goroutines to one connection, 64 B: µs of the processor for a message", "Writers", "8", "cpu-ns/op", micro},
	{"broadcast", "Broadcast to 1,000, bursts of 16: µs of the processor for a message", "Broadcast", "1000x16", "cpu-ns/op", micro},
	{"clientwrite", "A client writes 1 MiB: µs of the processor", "ClientWrite", "1MiB", "cpu-ns/op", micro},
	{"readkept", "A server reads 1 MiB into memory that is kept: µs of the processor", "ReadKept", "1MiB", "cpu-ns/op", micro},
	{"read", "A server reads 1 MiB as a message: µs of the processor", "Read", "1MiB", "cpu-ns/op", micro},
	{"upgrade", "Upgrade without net/http: µs of the processor", "Upgrade", "conn", "cpu-ns/op", micro},
	{"upgrade-http", "Upgrade through net/http: µs of the processor", "Upgrade", "net-http", "cpu-ns/op", micro},
	{"tls", "Echo over TLS, 8 connections, 512 B: µs of the processor for a message", "TLS", "pingpong-512B", "cpu-ns/op", micro},
	{"idle", "An idle connection: KB of RSS", "Idle", "10000", "B/conn", func(x float64) string { return significant(x / 1e3) }},
}

// The colours are those that can be read on white and on black.
var (
	ink       = color.NRGBA{0x7d, 0x85, 0x90, 0xff}
	oursFill  = color.NRGBA{0x2f, 0x81, 0xf7, 0xff}
	peerFill  = color.NRGBA{0x9a, 0xa4, 0xaf, 0xff}
	limitFill = color.NRGBA{0xd2, 0x99, 0x22, 0xff}
)

// draw draws the charts that there are figures for.
func (r *results) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, c := range charts {
		for _, t := range r.tables {
			if t.name == c.table && slices.Contains(t.rows, c.row) {
				if err := c.draw(t, filepath.Join(dir, c.file+".svg")); err != nil {
					return fmt.Errorf("%s: %w", c.file, err)
				}
			}
		}
	}
	return nil
}

func (c chart) draw(t *table, file string) error {
	type entry struct {
		name   string
		figure float64
	}
	var entries []entry
	for _, column := range t.columns {
		if figure := t.runs[run{c.row, column, c.unit}].least(); !math.IsNaN(figure) {
			entries = append(entries, entry{column, figure})
		}
	}
	// Bars are drawn from the bottom.
	slices.SortStableFunc(entries, func(a, b entry) int { return int(math.Copysign(1, b.figure-a.figure)) })

	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.BackgroundColor = nil // that of the page
	p.Title.Text = c.title
	p.Title.Padding = vg.Points(8)
	p.HideX()
	longest := 0.0
	var names []string
	var ends plotter.XYLabels
	for i, e := range entries {
		longest = max(longest, e.figure)
		names = append(names, e.name+"    ") // room for a font that is wider
		ends.XYs = append(ends.XYs, plotter.XY{X: e.figure, Y: float64(i)})
		ends.Labels = append(ends.Labels, c.form(e.figure))
		bars, err := plotter.NewBarChart(plotter.Values{e.figure}, vg.Points(11))
		if err != nil {
			return err
		}
		bars.Horizontal, bars.XMin, bars.LineStyle.Width = true, float64(i), 0
		switch {
		case strings.HasPrefix(e.name, "duplexkit"):
			bars.Color = oursFill
		case e.name == limit:
			bars.Color = limitFill
		default:
			bars.Color = peerFill
		}
		p.Add(bars)
	}
	labels, err := plotter.NewLabels(ends)
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Color = ink
		labels.TextStyle[i].Font = p.Title.TextStyle.Font
		labels.TextStyle[i].YAlign = draw.YCenter
		labels.TextStyle[i].Font.Size = vg.Points(9)
	}
	labels.Offset.X = vg.Points(3)
	p.Add(labels)
	p.NominalY(names...)
	p.X.Min, p.X.Max = 0, longest*1.12 // room for the last figure
	p.Title.TextStyle.Color = ink
	p.Title.TextStyle.Font.Size = vg.Points(11)
	p.Y.Color, p.Y.Tick.Label.Color, p.Y.Tick.Color = ink, ink, ink
	p.Y.LineStyle.Width, p.Y.Tick.LineStyle.Width = 0, 0
	p.Y.Tick.Label.Font.Size = vg.Points(9)
	canvas, err := p.WriterTo(6.5*vg.Inch, vg.Points(40+16*float64(len(entries))), "svg")
	if err != nil {
		return err
	}
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// The font is not everywhere. These have letters of the same widths.
	const family = "font-family:Liberation Sans"
	text := strings.ReplaceAll(svg.String(), family, family+",Arial,Helvetica,sans-serif")
	return os.WriteFile(file, []byte(text), 0o666)
}
