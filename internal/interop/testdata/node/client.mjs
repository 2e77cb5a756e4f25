// Goes through the cases with ws as the client of the echo server at the given URL.
import { randomBytes } from "node:crypto";
import WebSocket from "ws";

const endpoint = process.argv[2];
const fragments = ["xy", "é€😀".repeat(100), "ending"];
const longText = "aé€😀".repeat(Math.floor((1 << 20) / 10)) + "abcdef";

// exchange sends data and expects want.
const exchange = (data, want = data) => ws => new Promise(resolve => {
  ws.on("message", (got, isBinary) => {
    const same = isBinary !== (typeof want === "string") && Buffer.compare(got, Buffer.from(want)) === 0;
    resolve(same ? "ok" : `${got.length} other bytes, binary: ${isBinary}`);
  });
  ws.send(data);
});

// answer sends a command and tells what comes back.
const answer = command => ws => new Promise(resolve => {
  ws.on("message", got => resolve(`${got}`));
  ws.send(command);
});

// closing starts an end and tells what the close event says of it.
const closing = start => ws => new Promise(resolve => {
  ws.on("close", (code, reason) => resolve(`${code} ${reason}`.trim()));
  start(ws);
});

const cases = {
  "text": exchange("hello"),
  "binary": exchange(Buffer.from([0, 1, 2, 127, 128, 254, 255])),
  "empty": exchange(""),
  "text 1 MiB": exchange(longText),
  "binary 1 MiB": exchange(randomBytes(1 << 20)),
  "fragmented": ws => {
    fragments.slice(0, -1).forEach(fragment => ws.send(fragment, { fin: false }));
    return exchange(fragments.at(-1), fragments.join(""))(ws);
  },
  "many": ws => new Promise(resolve => {
    let next = 0;
    ws.on("message", got => {
      if (`${got}` !== `${next}`) resolve(`${got} in place of ${next}`);
      if (++next === 100) resolve("ok");
    });
    for (let i = 0; i < 100; i++) ws.send(`${i}`);
  }),
  "subprotocol": async ws => ws.protocol,
  "cookie": answer("!cookie"),
  "header": answer("!header"),
  "client ping": ws => new Promise(resolve => {
    ws.on("pong", got => resolve(`${got}` === "are you there" ? "ok" : `pong ${got}`));
    ws.ping("are you there");
  }),
  "server ping": exchange("!ping", "!pong"),
  "client close": closing(ws => ws.close(3001, "done")),
  "server close": closing(ws => ws.send("!close 4001 bye")),
  "kill": closing(ws => ws.send("!kill")),
};

const results = {};
for (const [name, run] of Object.entries(cases)) {
  const ws = new WebSocket(`${endpoint}?case=${encodeURIComponent(name)}`, name === "subprotocol" ? ["v2.example", "v1.example"] : [], {
    headers: { "Cookie": "session=s1", "X-Interop": "from the client" },
  });
  const failed = new Promise(resolve => ws.on("error", e => resolve(`error: ${e.message}`)));
  const opened = new Promise(resolve => ws.on("open", resolve));
  results[name] = await Promise.race([failed, opened.then(() => Promise.race([
    run(ws),
    closing(() => {})(ws), // a case that waits for the end itself comes first
  ]))]);
  ws.close();
}
console.log(JSON.stringify(results));
