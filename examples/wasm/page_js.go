package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall/js"
	"time"
)

// A page is what is seen. What people wrote is put in it as text, and so is never taken
// for HTML.
type page struct {
	document js.Value
	joined   chan [2]string // room and name
	now      chan struct{}  // the button that ends a pause

	say   func(text string) // for the form, nil while nobody takes part
	leave func()
}

func (p *page) get(id string) js.Value { return p.document.Call("getElementById", id) }

// on has the browser call f at an event. It stays for as long as the page does.
func (p *page) on(id, event string, f func()) {
	p.get(id).Call("addEventListener", event, js.FuncOf(func(_ js.Value, args []js.Value) any {
		args[0].Call("preventDefault") // of a form, which would load another page
		f()
		return nil
	}))
}

func newPage() *page {
	p := &page{document: js.Global().Get("document"), joined: make(chan [2]string, 1), now: make(chan struct{}, 1)}
	p.on("join", "submit", func() {
		select {
		case p.joined <- [2]string{p.value("room"), p.value("name")}:
		default: // it was pressed twice
		}
	})
	p.on("say", "submit", func() {
		if text := p.value("text"); text != "" && p.say != nil {
			p.get("text").Set("value", "")
			p.say(text)
			log := p.get("log")
			log.Set("scrollTop", log.Get("scrollHeight"))
		}
	})
	p.on("leave", "click", func() {
		if p.leave != nil {
			p.leave()
		}
	})
	p.on("now", "click", func() {
		select {
		case p.now <- struct{}{}:
		default:
		}
	})
	query := js.Global().Get("URLSearchParams").New(js.Global().Get("location").Get("search"))
	if room := query.Call("get", "room"); !room.IsNull() {
		p.get("room").Set("value", room)
	}
	return p
}

func (p *page) value(id string) string { return strings.TrimSpace(p.get(id).Get("value").String()) }

// join waits until somebody wants to take part.
func (p *page) join() (room, name string) {
	p.state("off", "not connected", "")
	p.get("enter").Set("disabled", false)
	p.get("name").Call("focus")
	asked := <-p.joined
	return asked[0], asked[1]
}

// enter shows the talk. say and leave are called by the browser, and must not block.
func (p *page) enter(room string, say func(text string), leave func()) {
	p.say, p.leave = say, leave
	query := js.Global().Get("URLSearchParams").New(map[string]any{"room": room})
	js.Global().Get("history").Call("replaceState", nil, "", "?"+query.Call("toString").String()) // a link to give away
	p.title(room)
	p.get("join").Set("hidden", true)
	p.get("talk").Set("hidden", false)
	p.get("text").Call("focus")
}

// left is the end of what enter began.
func (p *page) left() {
	p.say, p.leave = nil, nil
	p.title("Chat")
	p.get("log").Call("replaceChildren")
	p.get("people").Set("textContent", "")
	p.get("talk").Set("hidden", true)
	p.get("join").Set("hidden", false)
}

func (p *page) title(s string) {
	p.document.Set("title", s)
	p.document.Call("querySelector", "h1").Set("textContent", s)
}

// state shows the state. A screen reader speaks text, when it changes, and not the seconds.
func (p *page) state(kind, text, seconds string) {
	state := p.get("state")
	if state.Get("textContent").String() != text {
		state.Set("textContent", text)
	}
	p.get("again").Set("textContent", seconds)
	state.Get("dataset").Set("kind", kind)
	if kind != "bad" && seconds == "" {
		p.get("now").Set("hidden", true)
	}
}

// offer shows the button that ends a pause.
func (p *page) offer(label string) {
	select {
	case <-p.now: // it was pressed too late
	default:
	}
	p.get("now").Set("textContent", label)
	p.get("now").Set("hidden", false)
}

// pressed waits for that button, and reports whether it was pressed before ctx ended.
func (p *page) pressed(ctx context.Context) bool {
	select {
	case <-p.now:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *page) setPeople(people []string) {
	sorted := slices.Sorted(slices.Values(people))
	p.get("people").Set("textContent", fmt.Sprintf("%d here: %s", len(sorted), strings.Join(sorted, ", ")))
}

// element makes an element with text in it.
func (p *page) element(tag, className, text string) js.Value {
	e := p.document.Call("createElement", tag)
	e.Set("className", className)
	e.Set("textContent", text)
	return e
}

// message makes one, without a time if the server has not said it yet.
func (p *page) message(name, text string, at time.Time) js.Value {
	when := p.element("time", "", "…")
	if !at.IsZero() {
		when.Set("dateTime", at.Format(time.RFC3339))
		when.Set("textContent", at.Local().Format("15:04"))
	}
	li := p.element("li", "", "")
	li.Call("append", when, p.element("b", "", name), p.element("span", "", text))
	return li
}

func (p *page) note(text string) { p.show(p.element("li", "note", text)) }

// show adds to the log. What is not confirmed stays at its end.
func (p *page) show(li js.Value) {
	log := p.get("log")
	height := func() int { return log.Get("scrollHeight").Int() }
	atEnd := height()-log.Get("scrollTop").Int()-log.Get("clientHeight").Int() < 50 // who reads further up is not disturbed
	before := js.Null()
	if li.Get("className").String() != "pending" {
		before = log.Call("querySelector", ".pending")
	}
	log.Call("insertBefore", li, before)
	for log.Get("childElementCount").Int() > 1000 {
		log.Get("firstElementChild").Call("remove")
	}
	if atEnd {
		log.Set("scrollTop", height())
	}
}
