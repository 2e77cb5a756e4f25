"""libsoup: "server PORT" is an echo server, "client URL" goes through the cases, and "deflate URL LIST" sends back what
comes, on as many connections as the list is long, one after the other."""

import json
import os
import sys
import urllib.parse
from collections import deque

import gi

gi.require_version("Soup", "3.0")
from gi.repository import Gio, GLib, Soup

HEADERS = {"Cookie": "session=s1", "X-Interop": "from the client"}
LONG_TEXT = "aé€😀" * ((1 << 20) // 10) + "abcdef"

main_context = GLib.MainContext.default()
session = Soup.Session()
session.add_feature_by_type(Soup.WebsocketExtensionManager)


class Client:
    """A connection, and what came of it: messages as str or bytes, "pong", and in the end a tuple, the code and reason."""

    def __init__(self, url, protocols=None):
        self.events = deque()
        message = Soup.Message.new("GET", url)
        for name, value in HEADERS.items():
            message.get_request_headers().append(name, value)
        session.websocket_connect_async(message, None, protocols, GLib.PRIORITY_DEFAULT, None, self.opened)
        self.ws = self.next()
        if isinstance(self.ws, GLib.Error):
            raise self.ws
        self.ws.set_max_incoming_payload_size(4 << 20)
        self.ws.connect("message", lambda ws, kind, data: self.events.append(decode(kind, data)))
        self.ws.connect("pong", lambda ws, data: self.events.append("pong"))
        self.ws.connect("closed", lambda ws: self.events.append((ws.get_close_code(), ws.get_close_data())))

    def opened(self, session, result):
        try:
            self.events.append(session.websocket_connect_finish(result))
        except GLib.Error as e:
            self.events.append(e)

    def next(self):
        while not self.events:
            main_context.iteration(True)
        return self.events.popleft()


def decode(kind, data):
    return data.get_data().decode() if kind == Soup.WebsocketDataType.TEXT else data.get_data()


def send(ws, data):
    if isinstance(data, str):
        ws.send_text(data)
    else:
        ws.send_message(Soup.WebsocketDataType.BINARY, GLib.Bytes.new(data))


def exchange(data, want=None):
    def run(c):
        send(c.ws, data)
        got = c.next()
        return "ok" if got == (data if want is None else want) else f"{len(got)} others: {got[:40]!r}"

    return run


def answer(command):
    """Sends a command and tells what comes back."""

    def run(c):
        send(c.ws, command)
        return c.next()

    return run


def many(c):
    for i in range(100):
        send(c.ws, str(i))
    for i in range(100):
        got = c.next()
        if got != str(i):
            return f"{got} in place of {i}"
    return "ok"


def client_ping(c):
    c.ws.set_keepalive_interval(1)  # there is no other way to send a ping
    return "ok" if c.next() == "pong" else "no pong"


def client_close(c):
    c.ws.close(3001, "done")
    return ending(c)


def command(text):
    """Sends a command that ends the connection and tells how it ended."""

    def run(c):
        send(c.ws, text)
        return ending(c)

    return run


def ending(c):
    code, reason = c.next()
    return f"{code} {reason or ''}".strip()


CASES = {
    "text": exchange("hello"),
    "binary": exchange(bytes([0, 1, 2, 127, 128, 254, 255])),
    "empty": exchange(""),
    "text 1 MiB": exchange(LONG_TEXT),
    "binary 1 MiB": exchange(os.urandom(1 << 20)),
    "many": many,
    "subprotocol": lambda c: c.ws.get_protocol(),
    "cookie": answer("!cookie"),
    "header": answer("!header"),
    "client ping": client_ping,
    "server ping": exchange("!ping", "!pong"),
    "client close": client_close,
    "server close": command("!close 4001 bye"),
    "kill": command("!kill"),
}


def client(endpoint):
    results = {}
    for name, run in CASES.items():
        try:
            protocols = ["v2.example", "v1.example"] if name == "subprotocol" else None
            results[name] = run(Client(endpoint + "?case=" + urllib.parse.quote(name), protocols))
        except Exception as e:
            results[name] = repr(e)
    print(json.dumps(results))


def deflate(url, terms):
    for i in range(len(json.loads(terms))):
        c = Client(f"{url}?case={i}")
        while not isinstance(data := c.next(), tuple):
            send(c.ws, data)


def server(port):
    connections = set()  # which nobody else keeps alive

    def opened(server, message, path, ws):
        connections.add(ws)
        headers, socket = message.get_request_headers(), message.get_socket()

        def received(ws, kind, data):
            data = decode(kind, data)
            verb, *rest = data.split(" ", 2) if isinstance(data, str) else [None]
            if verb == "!close":
                ws.close(int(rest[0]), rest[1])
            elif verb == "!kill":
                socket.shutdown(True, True)
            elif verb == "!ping":
                ws.set_keepalive_interval(1)
            elif verb == "!cookie":
                send(ws, headers.get_one("Cookie"))
            elif verb == "!header":
                send(ws, headers.get_one("X-Interop"))
            else:
                send(ws, data)

        ws.set_max_incoming_payload_size(4 << 20)
        ws.connect("message", received)
        ws.connect("pong", lambda ws, data: send(ws, "!pong"))
        ws.connect("closed", connections.discard)

    soup = Soup.Server()
    soup.add_websocket_handler("/", None, ["v1.example"], opened)
    soup.listen(Gio.InetSocketAddress.new_from_string("127.0.0.1", int(port)), Soup.ServerListenOptions(0))
    GLib.MainLoop().run()


{"client": client, "deflate": deflate, "server": server}[sys.argv[1]](*sys.argv[2:])
