// An echo server of ws at the given port of 127.0.0.1. The query of the URL may
// have options for permessage-deflate as JSON: ?deflate={}.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

function echo(ws, request) {
  ws.on("error", e => console.error(e.message));
  ws.on("message", (data, isBinary) => {
    const [verb, code, reason] = isBinary ? [] : `${data}`.split(" ", 3);
    switch (verb) {
      case "!close":
        ws.close(Number(code), reason);
        break;
      case "!kill":
        ws.terminate();
        break;
      case "!ping":
        ws.once("pong", data => ws.send(`${data}` === "are you there" ? "!pong" : `pong ${data}`));
        ws.ping("are you there");
        break;
      case "!cookie":
        ws.send(request.headers.cookie ?? "");
        break;
      case "!header":
        ws.send(request.headers["x-interop"] ?? "");
        break;
      default:
        ws.send(data, { binary: isBinary });
    }
  });
}

const server = createServer();
server.on("upgrade", (request, socket, head) => {
  const options = new URL(request.url, "ws://host").searchParams.get("deflate");
  const perMessageDeflate = options && { threshold: 0, ...JSON.parse(options) };
  const handleProtocols = asked => asked.has("v1.example") && "v1.example";
  new WebSocketServer({ noServer: true, perMessageDeflate, handleProtocols }).handleUpgrade(request, socket, head, echo);
});
server.listen(Number(process.argv[2]), "127.0.0.1");
