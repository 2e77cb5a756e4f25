// Deno, for web.mjs.
export const connect = (url, options) => new WebSocket(url, options);
