"""An echo server of websockets at the given port of 127.0.0.1. The query of the URL may have options for
permessage-deflate as JSON: ?deflate={}."""

import asyncio
import json
import sys
import urllib.parse

import websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


class Protocol(websockets.WebSocketServerProtocol):
    def process_extensions(self, headers, available):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if "deflate" in query:
            available = [ServerPerMessageDeflateFactory(**json.loads(query["deflate"][0]))]
        return super().process_extensions(headers, available)


async def echo(ws):
    async for message in ws:
        verb, *rest = message.split(" ", 2) if isinstance(message, str) else [None]
        if verb == "!close":
            await ws.close(int(rest[0]), rest[1])
        elif verb == "!kill":
            ws.transport.abort()
        elif verb == "!ping":
            pong = await ws.ping("are you there")
            pong.add_done_callback(lambda _: asyncio.ensure_future(ws.send("!pong")))
        elif verb == "!cookie":
            await ws.send(ws.request_headers["Cookie"])
        elif verb == "!header":
            await ws.send(ws.request_headers["X-Interop"])
        else:
            await ws.send(message)


async def main(port):
    options = {"max_size": 4 << 20, "create_protocol": Protocol, "subprotocols": ["v1.example"]}
    async with websockets.serve(echo, "127.0.0.1", port, **options):
        await asyncio.Future()


asyncio.run(main(int(sys.argv[1])))
