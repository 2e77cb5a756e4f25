// An echo server of faye-websocket at the given port of 127.0.0.1. The query of the URL may have options for
// permessage-deflate as JSON: ?deflate={}.
import { createServer } from "node:http";
import WebSocket from "faye-websocket";
import deflate from "permessage-deflate";

const server = createServer();
server.on("upgrade", (request, socket, body) => {
  const terms = new URL(request.url, "ws://host").searchParams.get("deflate");
  const extensions = terms ? [deflate.configure(JSON.parse(terms))] : [];
  const ws = new WebSocket(request, socket, body, ["v1.example"], { extensions });
  ws.on("message", ({ data }) => {
    const [verb, code, reason] = typeof data === "string" ? data.split(" ", 3) : [];
    switch (verb) {
      case "!close":
        ws.close(Number(code), reason);
        break;
      case "!kill":
        socket.destroy();
        break;
      case "!ping":
        ws.ping("are you there", () => ws.send("!pong"));
        break;
      case "!cookie":
        ws.send(request.headers.cookie);
        break;
      case "!header":
        ws.send(request.headers["x-interop"]);
        break;
      default:
        ws.send(data);
    }
  });
});
server.listen(process.argv[2], "127.0.0.1");
