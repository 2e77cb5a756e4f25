"""An echo server of Tornado at the given port of 127.0.0.1, which knows permessage-deflate."""

import asyncio
import sys

from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Echo(WebSocketHandler):
    def get_compression_options(self):
        return {}

    def select_subprotocol(self, subprotocols):
        return "v1.example" if "v1.example" in subprotocols else None

    def on_message(self, message):
        verb, *rest = message.split(" ", 2) if isinstance(message, str) else [None]
        if verb == "!close":
            self.close(int(rest[0]), rest[1])
        elif verb == "!kill":
            self.ws_connection.stream.close()
        elif verb == "!ping":
            self.ping("are you there")
        elif verb == "!cookie":
            self.write_message(self.request.headers["Cookie"])
        elif verb == "!header":
            self.write_message(self.request.headers["X-Interop"])
        else:
            return self.write_message(message, binary=isinstance(message, bytes))

    def on_pong(self, data):
        self.write_message("!pong" if data == b"are you there" else f"pong {data}")


async def main(port):
    Application([("/", Echo)]).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
