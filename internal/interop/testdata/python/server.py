"""An echo server of websockets at the given port of 127.0.0.1."""

import asyncio
import sys

import websockets


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
        else:
            await ws.send(message)


async def main(port):
    async with websockets.serve(echo, "127.0.0.1", port, max_size=4 << 20):
        await asyncio.Future()


asyncio.run(main(int(sys.argv[1])))
