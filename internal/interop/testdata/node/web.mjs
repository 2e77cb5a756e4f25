// Goes through the cases with a client that has the API of browsers, and its own means to send headers and pings:
// run with the module that knows them, relative to this one, and the URL of the echo server.
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import process from "node:process";

const [module, endpoint] = process.argv.slice(2);
const { connect, ping } = await import(module);
const longText = "aé€😀".repeat(Math.floor((1 << 20) / 10)) + "abcdef";

function equal(a, b) {
  if (typeof a === "string" || typeof b === "string") return a === b;
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
}

// exchange sends data and expects want.
const exchange = (data, want = data) => ws => new Promise(resolve => {
  ws.onmessage = e => resolve(equal(e.data, want) ? "ok" : `${e.data.length ?? e.data.byteLength} others`);
  ws.send(data);
});

// answer sends a command and tells what comes back.
const answer = command => ws => new Promise(resolve => {
  ws.onmessage = e => resolve(e.data);
  ws.send(command);
});

// closing starts an end and tells what the close event says of it. Only a loss may be unclean.
const closing = start => ws => new Promise(resolve => {
  ws.onclose = e => {
    const clean = e.wasClean ?? e.code !== 1006; // not all clients say so
    resolve(`${e.code} ${e.reason}`.trim() + (clean === (e.code !== 1006) ? "" : ` clean: ${clean}`));
  };
  start(ws);
});

const cases = {
  "text": exchange("hello"),
  "binary": exchange(Buffer.from([0, 1, 2, 127, 128, 254, 255])),
  "empty": exchange(""),
  "text 1 MiB": exchange(longText),
  "binary 1 MiB": exchange(randomBytes(1 << 20)),
  "many": ws => new Promise(resolve => {
    let next = 0;
    ws.onmessage = e => {
      if (e.data !== `${next}`) resolve(`${e.data} in place of ${next}`);
      if (++next === 100) resolve("ok");
    };
    for (let i = 0; i < 100; i++) ws.send(`${i}`);
  }),
  "subprotocol": async ws => ws.protocol,
  "cookie": answer("!cookie"),
  "header": answer("!header"),
  "server ping": exchange("!ping", "!pong"),
  "client close": closing(ws => ws.close(3001, "done")),
  "server close": closing(ws => ws.send("!close 4001 bye")),
  "kill": closing(ws => ws.send("!kill")),
};
if (ping) cases["client ping"] = ws => ping(ws, "are you there").then(pong => pong === "are you there" ? "ok" : `pong ${pong}`);

const results = {};
for (const [name, run] of Object.entries(cases)) {
  const protocols = name === "subprotocol" ? ["v2.example", "v1.example"] : [];
  const headers = { "Cookie": "session=s1", "X-Interop": "from the client" };
  const ws = connect(`${endpoint}?case=${encodeURIComponent(name)}`, { protocols, headers });
  ws.binaryType = "arraybuffer";
  results[name] = await new Promise(resolve => {
    ws.onclose = e => resolve(`closed: ${e.code} ${e.reason}`); // a case that waits for it puts its own here
    ws.onopen = () => run(ws).then(resolve);
  });
  ws.onclose = null;
  ws.close();
}
console.log(JSON.stringify(results));
