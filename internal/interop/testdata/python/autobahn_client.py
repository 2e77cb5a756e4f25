"""Autobahn on Twisted as the client. Terms are options of PerMessageDeflateOffer."""

import asyncio
from contextlib import asynccontextmanager

from twisted.internet import asyncioreactor

loop = asyncio.new_event_loop()
asyncioreactor.install(loop)  # before anything takes the default reactor

import cases
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponse, PerMessageDeflateResponseAccept
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import react


class Connection(WebSocketClientProtocol):
    def __init__(self):
        super().__init__()
        self.opened, self.pong, self.end = loop.create_future(), loop.create_future(), loop.create_future()
        self.messages = asyncio.Queue()
        self.receive = self.messages.get

    def onOpen(self):
        self.subprotocol = self.websocket_protocol_in_use
        self.opened.set_result(None)

    def onMessage(self, payload, isBinary):
        self.messages.put_nowait(payload if isBinary else payload.decode())

    def onPong(self, payload):
        self.pong.set_result(payload)

    def onClose(self, wasClean, code, reason):
        if not self.opened.done():
            self.opened.set_exception(Exception(reason))
        self.messages.put_nowait(None)
        self.end.set_result((code, reason if wasClean else ""))

    async def send(self, data, **options):
        binary = isinstance(data, bytes)
        self.sendMessage(data if binary else data.encode(), binary, **options)

    async def fragments(self, parts):
        message = parts[0][:0].join(parts)
        await self.send(message, fragmentSize=len(message) // 3)

    async def ping(self):
        self.sendPing(cases.PING)
        cases.check_pong(await self.pong)

    async def close(self, code, reason):
        self.sendClose(code, reason)
        return await self.closed()

    async def closed(self):
        return await self.end


def accept(response):
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)


@asynccontextmanager
async def connect(url, headers=None, subprotocols=None, terms={}):
    factory = WebSocketClientFactory(url, headers=headers, protocols=subprotocols)
    factory.protocol = Connection
    factory.setProtocolOptions(
        perMessageCompressionOffers=[PerMessageDeflateOffer(**terms)],
        perMessageCompressionAccept=accept,
        maxMessagePayloadSize=cases.LIMIT,
    )
    ws = await TCP4ClientEndpoint(reactor, factory.host, factory.port).connect(factory).asFuture(loop)
    await ws.opened
    yield ws
    ws.sendClose()


react(lambda _: Deferred.fromFuture(loop.create_task(cases.main(connect))))
