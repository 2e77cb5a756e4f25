"""An echo server of Autobahn on Twisted at the given port of 127.0.0.1. The query of the URL may have options of
PerMessageDeflateOfferAccept as JSON: ?deflate={}."""

import json
import sys

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet import reactor


class Echo(WebSocketServerProtocol):
    def onConnect(self, request):
        terms = json.loads(request.params.get("deflate", ["{}"])[0])

        def accept(offers):
            for offer in offers:
                if isinstance(offer, PerMessageDeflateOffer):
                    return PerMessageDeflateOfferAccept(offer, **terms)

        self.perMessageCompressionAccept = accept
        self.headers = request.headers
        return "v1.example" if "v1.example" in request.protocols else None

    def onMessage(self, payload, isBinary):
        verb, *rest = [None] if isBinary else payload.decode().split(" ", 2)
        if verb == "!close":
            self.sendClose(int(rest[0]), rest[1])
        elif verb == "!kill":
            self.dropConnection()
        elif verb == "!ping":
            self.sendPing(b"are you there")
        elif verb == "!cookie":
            self.sendMessage(self.headers["cookie"].encode())
        elif verb == "!header":
            self.sendMessage(self.headers["x-interop"].encode())
        else:
            self.sendMessage(payload, isBinary)

    def onPong(self, payload):
        self.sendMessage(b"!pong" if payload == b"are you there" else b"pong " + payload)


factory = WebSocketServerFactory()
factory.protocol = Echo
reactor.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
reactor.run()
