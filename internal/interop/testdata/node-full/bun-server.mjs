// An echo server of Bun, which is uWebSockets, at the given port of 127.0.0.1.

// serve starts one with the given terms for permessage-deflate.
export const serve = (port, perMessageDeflate) => Bun.serve({
  hostname: "127.0.0.1",
  port,
  fetch(request, server) {
    const asked = request.headers.get("Sec-WebSocket-Protocol")?.split(/, */) ?? [];
    const headers = asked.includes("v1.example") ? { "Sec-WebSocket-Protocol": "v1.example" } : {};
    const data = { cookie: request.headers.get("Cookie"), header: request.headers.get("X-Interop") };
    if (!server.upgrade(request, { headers, data })) return new Response("no WebSocket", { status: 400 });
  },
  websocket: {
    perMessageDeflate,
    message(ws, message) {
      const [verb, code, reason] = typeof message === "string" ? message.split(" ", 3) : [];
      switch (verb) {
        case "!close":
          ws.close(Number(code), reason);
          break;
        case "!kill":
          ws.terminate();
          break;
        case "!ping":
          ws.ping("are you there");
          break;
        case "!cookie":
          ws.send(ws.data.cookie);
          break;
        case "!header":
          ws.send(ws.data.header);
          break;
        default:
          ws.send(message, true); // compressed, if that was negotiated
      }
    },
    pong: (ws, data) => ws.send(`${data}` === "are you there" ? "!pong" : `pong ${data}`),
  },
});

if (import.meta.main) serve(Bun.argv[2], false);
