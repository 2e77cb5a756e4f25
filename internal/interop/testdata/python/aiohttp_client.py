"""aiohttp as the client. Terms are the window bits that the server is asked for."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import cases
from aiohttp import WSMsgType


class Connection:
    def __init__(self, ws):
        self.ws = ws
        self.subprotocol = ws.protocol

    async def send(self, data):
        await (self.ws.send_bytes(data) if isinstance(data, bytes) else self.ws.send_str(data))

    async def receive(self):
        """Answers pings itself, for autoping would hide the pong that ping waits for."""
        while (message := await self.ws.receive()).type == WSMsgType.PING:
            await self.ws.pong(message.data)
        return message.data if message.type in (WSMsgType.TEXT, WSMsgType.BINARY) else None

    async def ping(self):
        await self.ws.ping(cases.PING)
        if (message := await self.ws.receive()).type != WSMsgType.PONG:
            raise Exception(message)
        cases.check_pong(message.data)

    async def close(self, code, reason):
        await self.ws.close(code=code, message=reason.encode())
        return self.ws.close_code, ""

    async def closed(self):
        message = await self.ws.receive()
        return self.ws.close_code, message.extra or ""


@asynccontextmanager
async def connect(url, headers=None, subprotocols=(), terms=15):
    options = {"headers": headers, "protocols": subprotocols, "compress": terms, "autoping": False, "max_msg_size": cases.LIMIT}
    async with aiohttp.ClientSession() as session, session.ws_connect(url, **options) as ws:
        yield Connection(ws)


asyncio.run(cases.main(connect))
