"""Has websockets send back what comes from the given URL, on one connection for each of the given options for
permessage-deflate, until that is closed. null are its defaults. Messages of more than 1 KiB go back in two fragments."""

import asyncio
import json
import sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory


async def main(url, cases):
    for i, options in enumerate(cases):
        extensions = None if options is None else [ClientPerMessageDeflateFactory(**options)]
        try:
            async with websockets.connect(f"{url}?case={i}", extensions=extensions, max_size=4 << 20) as ws:
                async for message in ws:
                    await ws.send([message[:1000], message[1000:]] if len(message) > 1024 else message)
        except Exception as e:
            print(f"case {i}: {e!r}", file=sys.stderr)


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
