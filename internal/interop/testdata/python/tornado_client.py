"""Tornado as the client. Terms are its compression_options."""

import asyncio
from contextlib import asynccontextmanager

import cases
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect


class Connection:
    def __init__(self, ws):
        self.ws = ws
        self.subprotocol = ws.selected_subprotocol
        self.receive = ws.read_message

    async def send(self, data):
        await self.ws.write_message(data, binary=isinstance(data, bytes))

    async def ping(self):
        pong = asyncio.get_running_loop().create_future()
        self.ws.on_pong = pong.set_result
        self.ws.ping(cases.PING)
        cases.check_pong(await pong)

    async def close(self, code, reason):
        self.ws.close(code, reason)
        return await self.closed()

    async def closed(self):
        while await self.receive() is not None:
            pass
        return self.ws.close_code or 1006, self.ws.close_reason or ""


@asynccontextmanager
async def connect(url, headers=None, subprotocols=None, terms={}):
    request = HTTPRequest(url, headers=headers)
    ws = await websocket_connect(request, subprotocols=subprotocols or None, compression_options=terms, max_message_size=cases.LIMIT)
    yield Connection(ws)
    ws.close()


asyncio.run(cases.main(connect))
