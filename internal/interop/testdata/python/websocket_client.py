"""websocket-client as the client."""

import asyncio
from contextlib import asynccontextmanager

import cases
from websocket import ABNF, WebSocketConnectionClosedException, create_connection


class Connection:
    def __init__(self, ws):
        self.ws = ws
        self.subprotocol = ws.subprotocol

    async def send(self, data):
        self.ws.send(data, ABNF.OPCODE_BINARY if isinstance(data, bytes) else ABNF.OPCODE_TEXT)

    async def fragments(self, parts):
        for i, part in enumerate(parts):
            opcode = ABNF.OPCODE_CONT if i else ABNF.OPCODE_TEXT
            self.ws.send_frame(ABNF.create_frame(part.encode(), opcode, int(i == len(parts) - 1)))

    async def receive(self):
        return self.ws.recv()

    async def ping(self):
        self.ws.ping(cases.PING)
        opcode, data = self.ws.recv_data(control_frame=True)
        if opcode != ABNF.OPCODE_PONG:
            raise Exception(opcode)
        cases.check_pong(data)

    async def close(self, code, reason):
        self.ws.send_close(code, reason.encode())
        return await self.closed()

    async def closed(self):
        try:
            opcode, data = self.ws.recv_data(control_frame=True)
        except WebSocketConnectionClosedException:
            return 1006, ""
        return int.from_bytes(data[:2], "big"), data[2:].decode()


@asynccontextmanager
async def connect(url, headers, subprotocols):
    ws = create_connection(url, header=headers, subprotocols=subprotocols)
    yield Connection(ws)
    ws.close()


asyncio.run(cases.main(connect))
