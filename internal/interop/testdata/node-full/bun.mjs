// Bun, for web.mjs and web-deflate.mjs.
export const connect = (url, { deflate = true, ...options }) => new WebSocket(url, { perMessageDeflate: deflate, ...options });

export const ping = (ws, text) => new Promise(resolve => {
  ws.addEventListener("pong", e => resolve(`${Buffer.from(e.data)}`));
  ws.ping(text);
});
