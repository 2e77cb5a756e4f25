"""Goes through the cases with websockets as the client of the echo server at the given URL."""

import asyncio
import json
import os
import sys
import urllib.parse

import websockets

HEADERS = {"Cookie": "session=s1", "X-Interop": "from the client"}
FRAGMENTS = ["xy", "é€😀" * 100, "ending"]
LONG_TEXT = "aé€😀" * ((1 << 20) // 10) + "abcdef"


def exchange(data, want=None):
    """Sends data, a list as fragments, and expects want, which is data by default."""

    async def run(ws):
        await ws.send(data)
        got = await ws.recv()
        return "ok" if got == (data if want is None else want) else f"{len(got)} others: {got[:40]!r}"

    return run


def answer(command):
    """Sends a command and tells what comes back."""

    async def run(ws):
        await ws.send(command)
        return await ws.recv()

    return run


async def subprotocol(ws):
    return ws.subprotocol


async def many(ws):
    for i in range(100):
        await ws.send(str(i))
    for i in range(100):
        got = await ws.recv()
        if got != str(i):
            return f"{got} in place of {i}"
    return "ok"


async def client_ping(ws):
    await (await ws.ping("are you there"))
    return "ok"


async def client_close(ws):
    await ws.close(3001, "done")
    return f"{ws.close_code} {ws.close_reason}".strip()


def ending(command):
    """Sends a command that ends the connection and tells how it ended."""

    async def run(ws):
        await ws.send(command)
        await ws.wait_closed()
        return f"{ws.close_code} {ws.close_reason}".strip()

    return run


CASES = {
    "text": exchange("hello"),
    "binary": exchange(bytes([0, 1, 2, 127, 128, 254, 255])),
    "empty": exchange(""),
    "text 1 MiB": exchange(LONG_TEXT),
    "binary 1 MiB": exchange(os.urandom(1 << 20)),
    "fragmented": exchange(FRAGMENTS, "".join(FRAGMENTS)),
    "many": many,
    "subprotocol": subprotocol,
    "cookie": answer("!cookie"),
    "header": answer("!header"),
    "client ping": client_ping,
    "server ping": exchange("!ping", "!pong"),
    "client close": client_close,
    "server close": ending("!close 4001 bye"),
    "kill": ending("!kill"),
}


async def main(endpoint):
    results = {}
    for name, run in CASES.items():
        try:
            url = endpoint + "?case=" + urllib.parse.quote(name)
            subprotocols = ["v2.example", "v1.example"] if name == "subprotocol" else None
            async with websockets.connect(url, max_size=4 << 20, subprotocols=subprotocols, extra_headers=HEADERS) as ws:
                results[name] = await run(ws)
        except Exception as e:
            results[name] = repr(e)
    print(json.dumps(results))


asyncio.run(main(sys.argv[1]))
