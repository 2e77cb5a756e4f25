// faye-websocket with permessage-deflate, for web.mjs and web-deflate.mjs.
import faye from "faye-websocket";
import deflate from "permessage-deflate";

export const connect = (url, { protocols, headers, deflate: terms = {} }) =>
  new faye.Client(url, protocols, { headers, extensions: [deflate.configure(terms)] });

export const ping = (ws, text) => new Promise(resolve => ws.ping(text, () => resolve(text)));
