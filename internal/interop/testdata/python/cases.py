"""What the clients have in common. Each calls main with its way to connect, whose connections have

    subprotocol           the one agreed upon
    send(data)            sends a message, text if data is a str
    fragments(list)       sends one in several fragments, if there is a way to do so
    receive()             returns the next message, None once the connection is closed
    ping()                returns when the pong is there
    close(code, reason)   closes, and returns the code and reason that this end is told
    closed()              waits for the peer to do so, and returns the same
"""

import json
import os
import random
import sys
import urllib.parse

HEADERS = {"Cookie": "session=s1", "X-Interop": "from the client"}
SUBPROTOCOLS = ["v2.example", "v1.example"]
FRAGMENTS = ["xy", "".join(chr(random.randrange(0x4E00, 0x9E00)) for _ in range(300)), "ending"]  # which hardly shrink
LONG_TEXT = "aé€😀" * ((1 << 20) // 10) + "abcdef"
PING = b"are you there"  # its payload, and what comes back
LIMIT = 4 << 20  # of a message, in bytes


def exchange(data, want=None):
    """Sends data and expects want, which is data by default."""

    async def run(ws):
        await ws.send(data)
        return compare(await ws.receive(), data if want is None else want)

    return run


def compare(got, want):
    return "ok" if got == want else f"{got!r:.40} in place of {want!r:.40}"


def answer(command):
    """Sends a command and tells what comes back."""

    async def run(ws):
        await ws.send(command)
        return await ws.receive()

    return run


async def fragmented(ws):
    await ws.fragments(FRAGMENTS)
    return compare(await ws.receive(), "".join(FRAGMENTS))


async def many(ws):
    for i in range(100):
        await ws.send(str(i))
    return compare([await ws.receive() for _ in range(100)], [str(i) for i in range(100)])


async def subprotocol(ws):
    return ws.subprotocol


def check_pong(payload):
    if payload != PING:
        raise Exception(f"pong {payload!r}")


async def client_ping(ws):
    await ws.ping()
    return "ok"


async def client_close(ws):
    return "{} {}".format(*await ws.close(3001, "done")).strip()


def ending(command):
    """Sends a command that ends the connection and tells how it ended."""

    async def run(ws):
        await ws.send(command)
        return "{} {}".format(*await ws.closed()).strip()

    return run


CASES = {
    "text": exchange("hello"),
    "binary": exchange(bytes([0, 1, 2, 127, 128, 254, 255])),
    "empty": exchange(""),
    "text 1 MiB": exchange(LONG_TEXT),
    "binary 1 MiB": exchange(os.urandom(1 << 20)),
    "fragmented": fragmented,
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


async def go_through(connect, endpoint):
    results = {}
    for name, run in CASES.items():
        try:
            url = endpoint + "?case=" + urllib.parse.quote(name)
            async with connect(url, headers=HEADERS, subprotocols=SUBPROTOCOLS if name == "subprotocol" else []) as ws:
                if name != "fragmented" or hasattr(ws, "fragments"):
                    results[name] = await run(ws)
        except Exception as e:
            results[name] = repr(e)
    print(json.dumps(results))


async def echo(connect, endpoint, list_of_terms):
    """Connects on each of the terms. Messages of more than 1 KiB go back in fragments where there is a way to do so."""
    for i, terms in enumerate(list_of_terms):
        try:
            async with connect(f"{endpoint}?case={i}", terms=terms) as ws:
                while (message := await ws.receive()) is not None:
                    if len(message) > 1024 and hasattr(ws, "fragments"):
                        await ws.fragments([message[:1000], message[1000:]])
                    else:
                        await ws.send(message)
        except Exception as e:
            print(f"case {i}: {e!r}", file=sys.stderr)


async def main(connect):
    """Goes through the cases at the given URL, or is an echo there on each of the given terms for permessage-deflate."""
    if len(sys.argv) == 2:
        await go_through(connect, sys.argv[1])
    else:
        await echo(connect, sys.argv[1], json.loads(sys.argv[2]))
