// undici, for web.mjs and web-deflate.mjs.
import { channel } from "node:diagnostics_channel";
import * as undici from "undici";

export const connect = (url, options) => new undici.WebSocket(url, options);

export const ping = (ws, text) => new Promise(resolve => {
  channel("undici:websocket:pong").subscribe(({ payload }) => resolve(`${payload}`));
  undici.ping(ws, Buffer.from(text));
});
