// An echo server of Bun at the given port of 127.0.0.1. The query of the URL has terms for permessage-deflate as JSON:
// ?deflate={}. Bun takes them for a server as a whole, so behind the port there is one for each connection.
import { connect, createServer } from "node:net";
import { serve } from "./bun-server.mjs";

createServer(client => client.once("data", head => {
  const [, path] = `${head}`.split(" ", 2);
  const server = serve(0, JSON.parse(new URL(path, "ws://host").searchParams.get("deflate")));
  const backend = connect(server.port, "127.0.0.1", () => backend.write(head));
  client.pipe(backend).pipe(client);
  client.on("close", () => server.stop(true));
})).listen(Bun.argv[2], "127.0.0.1");
