package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/duplexkit/websocket"
	"github.com/duplexkit/websocket/websockettest"
)

// patience keeps a test from hanging; nothing takes so long.
const patience = 30 * time.Second

// A server must leave no goroutine behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			fmt.Printf("goroutines are left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
			break
		}
	}
	os.Exit(code)
}

// start serves on a free port until end is called, which reports how serving ended.
func start(t *testing.T, s *server) (host string, end func() error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = s.serve(ctx, ln)
	}()
	end = func() error {
		cancel()
		<-done
		return err
	}
	t.Cleanup(func() { end() })
	return ln.Addr().String(), end
}

// A person is a client, as the page is one.
type person struct {
	*websocket.Conn
	t    *testing.T
	name string
}

func dial(t *testing.T, host, room, name string) *person {
	c, _, err := websocket.DefaultDialer.DialContext(t.Context(), chatURL(host, room, name), nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	return &person{c, t, name}
}

func chatURL(host, room, name string) string {
	return "ws://" + host + "/ws?" + url.Values{"room": {room}, "name": {name}}.Encode()
}

// join dials and returns the welcome too.
func join(t *testing.T, host, room, name string) (*person, event) {
	p := dial(t, host, room, name)
	return p, p.hear("welcome")
}

// hear reads the next event, which has to be of this type.
func (p *person) hear(eventType string) event {
	p.t.Helper()
	var e event
	require.NoError(p.t, p.ReadJSON(&e))
	require.Equal(p.t, eventType, e.Type, "%+v", e)
	return e
}

func (p *person) say(id, text string) {
	p.t.Helper()
	require.NoError(p.t, p.WriteJSON(request{Type: "say", ID: id, Text: text}))
}

// closed reads the close frame, which has to be the next.
func (p *person) closed() *websocket.CloseError {
	p.t.Helper()
	var closed *websocket.CloseError
	_, m, err := p.ReadMessage()
	require.ErrorAs(p.t, err, &closed, "%s", m)
	return closed
}

func TestPeopleInARoomHearEachOther(t *testing.T) {
	host, _ := start(t, newServer(100, 0))
	ann, welcome := join(t, host, "lobby", "Ann")
	require.Equal(t, []string{"Ann"}, welcome.People)
	require.Empty(t, welcome.History)
	bob, welcome := join(t, host, "lobby", "Bob")
	require.ElementsMatch(t, []string{"Ann", "Bob"}, welcome.People)
	require.Equal(t, "Bob", ann.hear("joined").Name)
	elsewhere, _ := join(t, host, "attic", "Eve")

	ann.say("1", "  hello ")
	for _, p := range []*person{ann, bob} {
		e := p.hear("said")
		require.Equal(t, []string{"1", "Ann", "hello"}, []string{e.ID, e.Name, e.Text})
		require.WithinDuration(t, time.Now(), *e.Time, patience)
	}
	require.NoError(t, ann.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
	require.Equal(t, "Ann", bob.hear("left").Name)

	require.NoError(t, elsewhere.WriteJSON(request{Type: "probe"}))
	elsewhere.hear("here") // and nothing from the other room before it
}

func TestHistory(t *testing.T) {
	for _, tt := range []struct {
		name string
		keep int
		say  int
		text string
		want []string // IDs
	}{
		{"all", 10, 3, "x", []string{"0", "1", "2"}},
		{"the last ones", 2, 5, "x", []string{"3", "4"}},
		{"none", 0, 2, "x", nil},
		{"no more than fits", 100, 12, strings.Repeat("<", maxText), []string{"2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host, _ := start(t, newServer(tt.keep, 0))
			ann, _ := join(t, host, "lobby", "Ann")
			for i := range tt.say {
				ann.say(strconv.Itoa(i), tt.text)
				require.Equal(t, tt.text, ann.hear("said").Text)
			}
			check := func(welcome event) {
				var got []string
				for _, raw := range welcome.History {
					var e event
					require.NoError(t, json.Unmarshal(raw, &e))
					require.Equal(t, tt.text, e.Text)
					got = append(got, e.ID)
				}
				require.Equal(t, tt.want, got)
			}
			bob, welcome := join(t, host, "lobby", "Bob")
			check(welcome)
			ann.hear("joined")
			require.NoError(t, ann.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
			bob.hear("left")
			require.NoError(t, bob.Shutdown(t.Context(), websocket.CloseNormalClosure, ""))
			// The room is empty, or will be.
			_, welcome = join(t, host, "lobby", "Cid")
			check(welcome)
		})
	}
}

func TestMessageThatIsSentAgainIsSaidOnce(t *testing.T) {
	host, _ := start(t, newServer(100, 0))
	ann, _ := join(t, host, "lobby", "Ann")
	ann.say("1", "hello")
	first := ann.hear("said")
	bob, _ := join(t, host, "lobby", "Bob")
	require.NoError(t, ann.Close()) // and has not heard

	bob.hear("left")
	ann, _ = join(t, host, "lobby", "Ann")
	bob.hear("joined")
	ann.say("1", "hello")
	require.Equal(t, first, ann.hear("said"), "it must learn that it was said")
	ann.say("2", "again")
	require.Equal(t, "2", bob.hear("said").ID)
	bob.say("2", "the same ID of somebody else")
	require.Equal(t, "the same ID of somebody else", bob.hear("said").Text)
}

// That does not depend on the history, which may be short, or none.
func TestMessageThatIsNotInTheHistoryIsSaidOnce(t *testing.T) {
	for _, keep := range []int{0, 2} {
		t.Run(strconv.Itoa(keep), func(t *testing.T) {
			host, _ := start(t, newServer(keep, 0))
			ann, _ := join(t, host, "lobby", "Ann")
			bob, _ := join(t, host, "lobby", "Bob")
			ann.hear("joined")
			var first event
			for i := range 5 {
				ann.say(strconv.Itoa(i), "hello")
				if e := ann.hear("said"); i == 0 {
					first = e
				}
				require.Equal(t, strconv.Itoa(i), bob.hear("said").ID)
			}
			ann.say("0", "hello")
			require.Equal(t, first, ann.hear("said"))
			ann.say("5", "hello")
			require.Equal(t, "5", bob.hear("said").ID, "it has not heard 0 again")
		})
	}
}

func TestRoomForgets(t *testing.T) {
	r := &room{people: make(map[*websocket.Conn]string), keep: 3}
	for i := range 2 * leastSaid {
		r.remember(said{id: strconv.Itoa(i)}, json.RawMessage("{}"))
	}
	require.Len(t, r.said, leastSaid)
	require.Equal(t, strconv.Itoa(2*leastSaid-1), r.said[leastSaid-1].id)
	require.Len(t, r.history, 3)
	require.Equal(t, 3*len("{}"), r.size)
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ name, room, person, want string }{
		{"plain", "lobby", "Ann", "Ann"},
		{"blanks around", " lobby ", "  Ann ", "Ann"},
		{"any script", "кухня", "高橋 🦉", "高橋 🦉"},
		{"HTML stays text", "lobby", `<img src=x onerror="alert(1)">`, `<img src=x onerror="alert(1)">`},
		{"as long as may be", "lobby", strings.Repeat("ö", maxName), strings.Repeat("ö", maxName)},
		{"too long", "lobby", strings.Repeat("x", maxName+1), ""},
		{"none", "lobby", "", ""},
		{"blank", "lobby", " \t", ""},
		{"no room", "", "Ann", ""},
		{"line break", "lobby", "Ann\nBob", ""},
		{"turned around", "lobby", "Ann\u202etxt", ""},
		{"not UTF-8", "lobby", "Ann\xff", ""},
		{"a letter that nobody sees", "lobby", "\u3164", ""},
		{"one among others", "lobby", "Ann\u115f", ""},
		{"a pattern of no dots", "lobby", "\u2800", ""},
		{"nothing but marks", "lobby", "\u0301\ufe0f", ""},
		{"marks on letters", "lobby", "Zoe\u0308 \u2764\ufe0f", "Zoe\u0308 \u2764\ufe0f"},
		{"room that nobody sees", "\u3164", "Ann", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host, _ := start(t, newServer(100, 0))
			p := dial(t, host, tt.room, tt.person)
			if tt.want == "" {
				require.Equal(t, websocket.ClosePolicyViolation, p.closed().Code)
				return
			}
			_, raw, err := p.ReadMessage()
			require.NoError(t, err)
			require.NotContains(t, string(raw), "<")
			var e event
			require.NoError(t, json.Unmarshal(raw, &e))
			require.Equal(t, []string{tt.want}, e.People)
		})
	}
}

func TestRequests(t *testing.T) {
	say := func(id, text string) string {
		return fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, id, text)
	}
	for _, tt := range []struct {
		name        string
		messageType int
		data        string
		answer      string // type of the event
		code        int    // or a close code
	}{
		{"longest", websocket.TextMessage, say("1", strings.Repeat("x", maxText)), "said", 0},
		{"as long as JSON can make it", websocket.TextMessage,
			`{"type":"say","id":"1","text":"` + strings.Repeat(`\ud83d\ude00`, maxText) + `"}`, "said", 0},
		{"too long", websocket.TextMessage, say("1", strings.Repeat("x", maxText+1)), "refused", 0},
		{"empty", websocket.TextMessage, say("1", " "), "refused", 0},
		{"too large", websocket.TextMessage, say("1", strings.Repeat("x", readLimit)), "", websocket.CloseMessageTooBig},
		{"no id", websocket.TextMessage, say("", "x"), "", websocket.ClosePolicyViolation},
		{"long id", websocket.TextMessage, say(strings.Repeat("x", maxID+1), "x"), "", websocket.ClosePolicyViolation},
		{"unknown type", websocket.TextMessage, `{"type":"shout"}`, "", websocket.ClosePolicyViolation},
		{"not JSON", websocket.TextMessage, `hello`, "", websocket.ClosePolicyViolation},
		{"binary", websocket.BinaryMessage, say("1", "x"), "", websocket.CloseUnsupportedData},
		{"not UTF-8", websocket.TextMessage, say("1", "x") + "\xff", "", websocket.CloseInvalidFramePayloadData},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host, _ := start(t, newServer(100, 0))
			ann, _ := join(t, host, "lobby", "Ann")
			require.NoError(t, ann.WriteMessage(tt.messageType, []byte(tt.data)))
			if tt.code != 0 {
				require.Equal(t, tt.code, ann.closed().Code)
				return
			}
			require.Equal(t, "1", ann.hear(tt.answer).ID)
		})
	}
}

func TestSlowConsumerIsSentAwayAndLosesNothing(t *testing.T) {
	s := newServer(4, 0) // whose welcome fits in this queue:
	s.queue = 64 << 10
	host, _ := start(t, s)
	quick, _ := join(t, host, "lobby", "quick")
	_, _ = join(t, host, "lobby", "slow") // and reads nothing from here on
	quick.hear("joined")

	text := strings.Repeat("🐌", maxText)
	for i, gone := 0, false; !gone; i++ {
		quick.say(strconv.Itoa(i), text)
		for said := false; !said && !gone; {
			var e event
			require.NoError(t, quick.ReadJSON(&e))
			said = e.Type == "said" && e.ID == strconv.Itoa(i)
			gone = e.Type == "left" && e.Name == "slow"
		}
	}
	_, welcome := join(t, host, "lobby", "slow")
	require.Len(t, welcome.History, 4)
}

func TestFullRoom(t *testing.T) {
	r := &room{people: make(map[*websocket.Conn]string)}
	for range maxPeople {
		r.people[new(websocket.Conn)] = "somebody"
	}
	c, _ := websockettest.Pair(t, nil, nil)
	err := r.join(c, "Ann")
	require.True(t, websocket.IsCloseError(err, websocket.CloseTryAgainLater), "%v", err)
	require.Len(t, r.people, maxPeople)
}

func TestRoomsAreForgottenWhenTheirPlaceIsNeeded(t *testing.T) {
	c, _ := websockettest.Pair(t, nil, nil)
	rs := rooms{byName: make(map[string]*room)}
	for i := range maxRooms {
		r, err := rs.join(c, strconv.Itoa(i), "Ann")
		require.NoError(t, err)
		require.Equal(t, 1, r.listeners.Len())
	}
	_, err := rs.join(c, "one more", "Ann")
	require.True(t, websocket.IsCloseError(err, websocket.CloseTryAgainLater), "%v", err)

	rs.byName["3"].leave(c)
	rs.byName["7"].leave(c)
	rs.byName["7"].left = time.Now().Add(-time.Hour)
	_, err = rs.join(c, "one more", "Ann")
	require.NoError(t, err)
	require.Len(t, rs.byName, maxRooms)
	require.Contains(t, rs.byName, "one more")
	require.NotContains(t, rs.byName, "7", "empty for the longest time")
	require.Contains(t, rs.byName, "3")
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		p := pace{pause: time.Second}
		for range burst {
			p.wait(t.Context())
		}
		require.Zero(t, time.Since(begun), "the first few are free")
		for range 3 {
			p.wait(t.Context())
		}
		require.Equal(t, 3*time.Second, time.Since(begun))

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		p.wait(gone)
		require.Equal(t, 3*time.Second, time.Since(begun))

		time.Sleep(time.Minute)
		begun = time.Now()
		for range burst {
			p.wait(t.Context())
		}
		require.Zero(t, time.Since(begun), "silence is rewarded")
	})
}

func TestShutdownTellsEveryone(t *testing.T) {
	host, end := start(t, newServer(100, 0))
	ann, _ := join(t, host, "lobby", "Ann")
	bob, _ := join(t, host, "attic", "Bob")
	idle, err := net.Dial("tcp", host) // as a browser's, ahead of a request: http.Server.Shutdown waits for it, people need not
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	for _, p := range []*person{ann, bob} {
		require.Equal(t, websocket.CloseGoingAway, p.closed().Code)
	}
	require.NoError(t, idle.Close())
	require.NoError(t, <-ended)
	_, err = net.Dial("tcp", host)
	require.Error(t, err, "still listening")
}

// What others say must not pass for lines of the log, or drive a terminal.
func TestLogQuotesReasons(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	host, end := start(t, newServer(100, 0))
	ann, _ := join(t, host, "lobby", "Ann")
	require.NoError(t, ann.Shutdown(t.Context(), 4000, "\x1b[2J\n2026/01/01 00:00:00 root left"))
	require.NoError(t, end())
	require.Contains(t, logged.String(), `left: "websocket: close 4000: \x1b[2J\n2026/01/01 00:00:00 root left"`)
}

func TestFlags(t *testing.T) {
	over, cancel := context.WithCancel(t.Context()) // what is accepted after all ends at once
	cancel()
	for _, tt := range []struct{ args, want string }{
		{"-history -1", "negative"},
		{"-pause -1s", "negative"},
		{"-pause soon", `invalid value "soon"`},
		{"now", `what is "now"?`},
		{"-addr nowhere.invalid:http", "nowhere.invalid"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			require.ErrorContains(t, run(over, strings.Fields(tt.args), io.Discard), tt.want)
		})
	}
	require.ErrorIs(t, run(over, []string{"-help"}, io.Discard), flag.ErrHelp)
	require.NoError(t, run(over, []string{"-addr", "127.0.0.1:0", "-history", "0", "-pause", "0"}, io.Discard))
}

func TestOtherOriginsAreRefused(t *testing.T) {
	host, _ := start(t, newServer(100, 0))
	_, resp, err := websocket.DefaultDialer.DialContext(t.Context(), chatURL(host, "lobby", "Ann"), http.Header{"Origin": {"http://example.com"}})
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
}

func TestPage(t *testing.T) {
	host, _ := start(t, newServer(100, 0))
	for path, contentType := range map[string]string{
		"/":         "text/html",
		"/chat.js":  "javascript", // systems differ in what stands before it
		"/chat.css": "text/css",
	} {
		resp, err := http.Get("http://" + host + path)
		require.NoError(t, err)
		p, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.Contains(t, resp.Header.Get("Content-Type"), contentType, path)
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'self'", path)
		require.NotContains(t, string(p), "innerHTML", "names are text")
		require.NotContains(t, string(p), "insertAdjacentHTML", "names are text")
	}
}
