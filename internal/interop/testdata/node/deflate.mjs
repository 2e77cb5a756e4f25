// Has ws send back what comes from the given URL, on one connection for each of
// the given options for permessage-deflate, until that is closed. Messages of
// more than 1 KiB go back in two fragments.
import WebSocket from "ws";

const [url, options] = process.argv.slice(2);
for (const [i, option] of JSON.parse(options).entries()) {
  const ws = new WebSocket(`${url}?case=${i}`, { perMessageDeflate: { threshold: 0, ...option } });
  ws.on("message", (data, isBinary) => {
    const cut = data.length > 1024 ? 1000 : 0;
    if (cut) ws.send(data.subarray(0, cut), { binary: isBinary, fin: false });
    ws.send(data.subarray(cut), { binary: isBinary });
  });
  ws.on("error", e => console.error(`case ${i}: ${e.message}`));
  await new Promise(resolve => ws.on("close", resolve));
}
