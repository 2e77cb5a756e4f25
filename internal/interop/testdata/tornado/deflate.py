"""Has Tornado send back what comes from the given URL, on one connection for each of the given options for
compression, until that is closed."""

import asyncio
import json
import sys

from tornado.websocket import websocket_connect


async def main(url, cases):
    for i, options in enumerate(cases):
        try:
            ws = await websocket_connect(f"{url}?case={i}", compression_options=options)
            while (message := await ws.read_message()) is not None:
                await ws.write_message(message, binary=isinstance(message, bytes))
        except Exception as e:
            print(f"case {i}: {e!r}", file=sys.stderr)


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
