"""An echo server of aiohttp at the given port of 127.0.0.1, which knows permessage-deflate."""

import sys

from aiohttp import WSMsgType, web


async def echo(request):
    ws = web.WebSocketResponse(protocols=["v1.example"], autoping=False, max_msg_size=4 << 20)
    await ws.prepare(request)
    async for message in ws:
        verb, *rest = message.data.split(" ", 2) if message.type == WSMsgType.TEXT else [None]
        if verb == "!close":
            await ws.close(code=int(rest[0]), message=rest[1].encode())
        elif verb == "!kill":
            request.transport.abort()
        elif verb == "!ping":
            await ws.ping(b"are you there")
        elif verb == "!cookie":
            await ws.send_str(request.headers["Cookie"])
        elif verb == "!header":
            await ws.send_str(request.headers["X-Interop"])
        elif message.type == WSMsgType.PING:
            await ws.pong(message.data)
        elif message.type == WSMsgType.PONG:
            await ws.send_str("!pong" if message.data == b"are you there" else f"pong {message.data}")
        elif message.type == WSMsgType.TEXT:
            await ws.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


app = web.Application()
app.router.add_get("/", echo)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
