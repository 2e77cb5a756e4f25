// An echo server of ws at the given port of 127.0.0.1.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
server.on("connection", ws => {
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
        ws.once("pong", () => ws.send("!pong"));
        ws.ping("are you there");
        break;
      default:
        ws.send(data, { binary: isBinary });
    }
  });
});
