"""websockets as the client. Terms are options of ClientPerMessageDeflateFactory, null are its defaults."""

import asyncio
from contextlib import asynccontextmanager

import cases
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory


class Connection:
    def __init__(self, ws):
        self.ws = ws
        self.subprotocol = ws.subprotocol
        self.send = self.fragments = ws.send

    async def receive(self):
        try:
            return await self.ws.recv()
        except websockets.ConnectionClosed:
            return None

    async def ping(self):
        await (await self.ws.ping(cases.PING))

    async def close(self, code, reason):
        await self.ws.close(code, reason)
        return await self.closed()

    async def closed(self):
        await self.ws.wait_closed()
        return self.ws.close_code, self.ws.close_reason


@asynccontextmanager
async def connect(url, headers=None, subprotocols=None, terms=None):
    options = {"extra_headers": headers, "subprotocols": subprotocols or None, "max_size": cases.LIMIT}
    if terms is not None:
        options["extensions"] = [ClientPerMessageDeflateFactory(**terms)]
    async with websockets.connect(url, **options) as ws:
        yield Connection(ws)


asyncio.run(cases.main(connect))
