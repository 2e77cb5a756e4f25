"""libsoup as the client. It has no terms of its own."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager

import cases
import gi

gi.require_version("Soup", "3.0")
from gi.repository import GLib, Soup

main_context = GLib.MainContext.default()
session = Soup.Session()
session.add_feature_by_type(Soup.WebsocketExtensionManager)
PONG, CLOSED = object(), object()


class Connection:
    """A connection, and what came of it: messages as str or bytes, PONG and CLOSED."""

    def __init__(self, url, headers, subprotocols):
        self.events = deque()
        message = Soup.Message.new("GET", url)
        for name, value in headers.items():
            message.get_request_headers().append(name, value)
        session.websocket_connect_async(message, None, subprotocols or None, GLib.PRIORITY_DEFAULT, None, self.opened)
        self.ws = self.next()
        if isinstance(self.ws, GLib.Error):
            raise self.ws
        self.subprotocol = self.ws.get_protocol()
        self.ws.set_max_incoming_payload_size(cases.LIMIT)
        self.ws.connect("message", self.received)
        self.ws.connect("pong", lambda ws, data: self.events.append(PONG))
        self.ws.connect("closed", lambda ws: self.events.append(CLOSED))

    def opened(self, session, result):
        try:
            self.events.append(session.websocket_connect_finish(result))
        except GLib.Error as e:
            self.events.append(e)

    def received(self, ws, kind, data):
        self.events.append(data.get_data().decode() if kind == Soup.WebsocketDataType.TEXT else data.get_data())

    def next(self):
        while not self.events:
            main_context.iteration(True)
        return self.events.popleft()

    async def send(self, data):
        if isinstance(data, str):
            self.ws.send_text(data)
        else:
            self.ws.send_message(Soup.WebsocketDataType.BINARY, GLib.Bytes.new(data))

    async def receive(self):
        event = self.next()
        return None if event is CLOSED else event

    async def ping(self):
        self.ws.set_keepalive_interval(1)  # there is no other way to send one, and none to give it a payload
        if (event := self.next()) is not PONG:
            raise Exception(event)

    async def close(self, code, reason):
        self.ws.close(code, reason)
        return await self.closed()

    async def closed(self):
        while self.next() is not CLOSED:
            pass
        return self.ws.get_close_code(), self.ws.get_close_data() or ""


@asynccontextmanager
async def connect(url, headers={}, subprotocols=None, terms=None):
    connection = Connection(url, headers, subprotocols)
    yield connection
    if connection.ws.get_state() == Soup.WebsocketState.OPEN:
        connection.ws.close(1000, None)


asyncio.run(cases.main(connect))
