// Has a client with the API of browsers send back what comes from the given URL, on one connection for each of the given
// terms, until that is closed: run with the module that connects, relative to this one, the URL and the terms as JSON.
import process from "node:process";

const [module, url, terms] = process.argv.slice(2);
const { connect } = await import(module);
for (const [i, deflate] of JSON.parse(terms).entries()) {
  const ws = connect(`${url}?case=${i}`, { deflate });
  ws.binaryType = "arraybuffer";
  ws.onmessage = e => ws.send(e.data);
  ws.onerror = e => console.error(`case ${i}: ${e.message}`);
  await new Promise(resolve => { ws.onclose = resolve; });
}
