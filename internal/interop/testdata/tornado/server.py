"""An echo server of Tornado, with compression, at the given port of 127.0.0.1."""

import asyncio
import sys

from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Echo(WebSocketHandler):
    def get_compression_options(self):
        return {}

    def on_message(self, message):
        return self.write_message(message, binary=isinstance(message, bytes))


async def main(port):
    Application([("/", Echo)]).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
