"""An echo server of Hypercorn and wsproto at the given port of 127.0.0.1, which knows permessage-deflate."""

import asyncio
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config


async def echo(scope, receive, send):
    assert scope["type"] == "websocket"
    headers = dict(scope["headers"])
    await receive()  # websocket.connect
    await send({"type": "websocket.accept", "subprotocol": "v1.example" if "v1.example" in scope["subprotocols"] else None})
    while (event := await receive())["type"] == "websocket.receive":
        message = {"type": "websocket.send", "bytes": event["bytes"], "text": event["text"]}
        verb, *rest = (event["text"] or "").split(" ", 2)
        if verb == "!close":
            message = {"type": "websocket.close", "code": int(rest[0]), "reason": rest[1]}
        elif verb == "!cookie":
            message["text"] = headers[b"cookie"].decode()
        elif verb == "!header":
            message["text"] = headers[b"x-interop"].decode()
        await send(message)


config = Config()
config.bind = ["127.0.0.1:" + sys.argv[1]]
asyncio.run(serve(echo, config))
