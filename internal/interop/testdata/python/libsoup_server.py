"""An echo server of libsoup at the given port of 127.0.0.1, which knows permessage-deflate."""

import sys

import gi

gi.require_version("Soup", "3.0")
from gi.repository import Gio, GLib, Soup

connections = set()  # which nobody else keeps alive


def opened(server, message, path, ws):
    connections.add(ws)
    headers, socket = message.get_request_headers(), message.get_socket()

    def received(ws, kind, data):
        verb, *rest = data.get_data().decode().split(" ", 2) if kind == Soup.WebsocketDataType.TEXT else [None]
        if verb == "!close":
            ws.close(int(rest[0]), rest[1])
        elif verb == "!kill":
            socket.shutdown(True, True)
        elif verb == "!ping":
            ws.set_keepalive_interval(1)  # there is no other way to send one, and none to give it a payload
        elif verb == "!cookie":
            ws.send_text(headers.get_one("Cookie"))
        elif verb == "!header":
            ws.send_text(headers.get_one("X-Interop"))
        else:
            ws.send_message(kind, data)

    ws.set_max_incoming_payload_size(4 << 20)
    ws.connect("message", received)
    ws.connect("pong", lambda ws, data: ws.send_text("!pong"))
    ws.connect("closed", connections.discard)


server = Soup.Server()
server.add_websocket_handler("/", None, ["v1.example"], opened)
server.listen(Gio.InetSocketAddress.new_from_string("127.0.0.1", int(sys.argv[1])), Soup.ServerListenOptions(0))
GLib.MainLoop().run()
