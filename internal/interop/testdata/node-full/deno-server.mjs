// An echo server of Deno, which is fastwebsockets, at the given port of 127.0.0.1.
Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.args[0]) }, request => {
  const asked = request.headers.get("Sec-WebSocket-Protocol")?.split(/, */) ?? [];
  const protocol = asked.find(name => name === "v1.example");
  const cookie = request.headers.get("Cookie"), header = request.headers.get("X-Interop"); // gone once it is upgraded
  const { socket, response } = Deno.upgradeWebSocket(request, { protocol });
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    const [verb, code, reason] = typeof data === "string" ? data.split(" ", 3) : [];
    switch (verb) {
      case "!close":
        socket.close(Number(code), reason);
        break;
      case "!cookie":
        socket.send(cookie);
        break;
      case "!header":
        socket.send(header);
        break;
      default:
        socket.send(data);
    }
  };
  return response;
});
