"use strict";

const $ = id => document.getElementById(id);

// The nodes, as origins; the one that this page came from is the first that is tried. None
// are named where a load balancer finds one that lives.
const nodes = document.querySelector("meta[name=nodes]").content.split(" ").filter(Boolean);
if (!nodes.includes(location.origin)) {
  // It may be another name of one of them, such as 127.0.0.1.
  const same = nodes.findIndex(n => new URL(n).port === location.port && isHere(new URL(n).hostname) && isHere(location.hostname));
  if (same >= 0) nodes[same] = location.origin; else nodes.unshift(location.origin);
}
function isHere(host) { return host === "localhost" || host === "127.0.0.1"; }

// How long to wait before connecting again: a random time, lest all pages come back in
// the same instant, of up to `least`, and twice as long after all nodes have failed in a row.
const least = 1000, most = 30_000;
// A connection that has lasted so long was a good one: the next failure is the first again.
const settled = 10_000;
// A page is not told of the server's pings, so it has to find out by itself whether the
// connection still lives: an answer takes no longer than `patience`, and who has heard
// nothing for the time `quiet` asks for one.
const patience = 10_000, quiet = 30_000;
// With these close codes a node says that trying again is of no use.
const final = new Set([1003, 1007, 1008, 1009, 1010]);
// So many messages are on their way to be confirmed; the others wait for them. A node reads
// no more than a few ahead.
const ahead = 8;

// Our name for this page: by it the nodes know us as one and the same when we move.
const page = crypto.getRandomValues(new Uint32Array(4)).join("-");

let room, me;
let ws = null;        // the connection, if there is one or one is being made
let joined = false;   // the server has welcomed us on it
let node = nodes.indexOf(location.origin); // where we are, or try to be
let failures = 0;     // in a row
let outbox = [];      // {id, text, li, sent}: what is not confirmed, in order
let own = new Map();  // by id, the items of messages that are confirmed, and not yet said
let stream = "";      // which stream `last` is a place in
let last = 0;         // the place of the latest message that is shown
let people = [];      // who is here, as far as we were told names
let count = 0;        // how many are
let here = "";        // what the state says while all is well
const timers = {};    // by name, the timeouts that run

function after(name, ms, f) {
  cancel(name);
  timers[name] = setTimeout(() => { delete timers[name]; f(); }, ms);
}
function cancel(...names) {
  for (const name of names) { clearTimeout(timers[name]); delete timers[name]; }
}

// ---- the connection

function connect() {
  cancel("retry");
  state("wait", nodes.length > 1 ? `connecting to ${new URL(nodes[node]).host}…` : "connecting…");
  const url = new URL("/ws", nodes[node].replace(/^http/, "ws"));
  url.search = new URLSearchParams({ room, name: me, page, stream, after: last });
  const socket = ws = new WebSocket(url);
  after("answer", patience, () => lost("the node does not answer"));
  socket.onmessage = e => { heard(); receive(JSON.parse(e.data)); };
  socket.onclose = e => {
    if (final.has(e.code)) {
      forget();
      state("bad", "not connected: " + (e.reason || "close code " + e.code));
      $("now").textContent = "Try again";
      $("now").hidden = false;
    } else {
      lost(e.reason || (navigator.onLine ? "" : "no network"));
    }
  };
}

// forget lets go of the connection, whose events no longer count.
function forget() {
  cancel("answer", "probe", "settled", "retry");
  joined = false;
  for (const m of outbox) m.sent = false;
  if (ws) {
    ws.onmessage = ws.onclose = null;
    ws.close(1000); // of no effect if it is closed
    ws = null;
  }
}

// lost tries again after a while, at another node.
function lost(why) {
  forget();
  node = (node + 1) % nodes.length;
  const longest = Math.min(most, least * 2 ** Math.floor(failures++ / nodes.length));
  const until = Date.now() + Math.random() * longest;
  $("now").textContent = "Now";
  $("now").hidden = false;
  (function wait() {
    const left = until - Date.now();
    if (left <= 0) return connect();
    state("wait", why || "no connection", `again in ${Math.ceil(left / 1000)} s`);
    after("retry", Math.min(left, 1000), wait);
  })();
}

// heard is called when anything came: the connection lives.
function heard() {
  cancel("answer");
  after("probe", quiet, () => send({ type: "probe" }));
}

function send(request) {
  ws.send(JSON.stringify(request));
  if (!timers.answer) after("answer", patience, () => lost("the node does not answer"));
}

addEventListener("online", () => { if (timers.retry) connect(); });
$("now").onclick = () => { forget(); connect(); };

// ---- what the server says

function receive(event) {
  switch (event.type) {
  case "welcome": {
    joined = true;
    after("settled", settled, () => { failures = 0; });
    here = "connected to " + event.node;
    state("on", here);
    people = event.people;
    count = event.count;
    if (event.missing) note("some messages may be missing here");
    if (event.stream !== stream) [stream, last] = [event.stream, 0];
    event.history?.forEach(said);
    pump();
    break;
  }
  case "said":
    said(event);
    break;
  case "sent": {
    const m = confirmed(event.id);
    if (m) {
      m.li.className = m.li.title = "";
      own.set(m.id, m.li);
    }
    state("on", here);
    pump();
    break;
  }
  case "refused": {
    const m = confirmed(event.id);
    if (m) {
      m.li.className = "refused";
      m.li.append(element("small", "", "not sent: " + event.text));
    }
    pump();
    break;
  }
  case "missing":
    note("some messages may be missing here");
    break;
  case "waiting":
    state("wait", `${here}, messages wait: ${event.text}`);
    break;
  case "people":
    for (const name of event.left ?? []) {
      const i = people.indexOf(name);
      if (i >= 0) people.splice(i, 1);
      note(name + " left");
    }
    for (const name of event.joined ?? []) {
      people.push(name);
      note(name + " joined");
    }
    if (event.people) people = event.people; // too many have come and gone
    count = event.count ?? 0;
    break;
  }
  const more = count > people.length ? ` and ${count - people.length} more` : "";
  $("people").textContent = `${count} here: ${people.toSorted().join(", ")}${more}`;
  if (joined && outbox.length && !timers.answer) after("answer", patience, () => lost("the node does not answer"));
}

function said(m) {
  if (m.seq <= last) return; // it was shown before the connection broke
  last = m.seq;
  if (m.name === me) {
    // Its place is among the others'.
    (confirmed(m.id)?.li ?? own.get(m.id))?.remove();
    own.delete(m.id);
  }
  show(message(m.name, m.text, new Date(m.time)));
}

// ---- what we say

$("say").onsubmit = e => {
  e.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  say(crypto.getRandomValues(new Uint32Array(4)).join("-"), text);
  $("log").scrollTop = $("log").scrollHeight;
};

function say(id, text) {
  const li = message(me, text, null);
  li.className = "pending";
  li.title = "not confirmed yet";
  show(li);
  outbox.push({ id, text, li, sent: false });
  save();
  pump();
}

// pump sends what may be sent. It stays in the outbox until it is confirmed.
function pump() {
  if (!joined) return;
  for (const m of outbox.slice(0, ahead)) {
    if (m.sent) continue;
    m.sent = true;
    send({ type: "say", id: m.id, text: m.text });
  }
}

// confirmed takes a message of ours out of the outbox.
function confirmed(id) {
  const i = outbox.findIndex(m => m.id === id);
  if (i < 0) return null;
  const [m] = outbox.splice(i, 1);
  save();
  return m;
}

// The outbox survives a reload. Storage may be forbidden; then it does not.
function save() {
  try {
    sessionStorage.setItem(`outbox ${room} ${me}`, JSON.stringify(outbox.map(({ id, text }) => ({ id, text }))));
    localStorage.setItem("name", me);
  } catch (e) { console.warn("messages are kept until this page is closed or reloaded:", e); }
}
function saved(storage, name) {
  try { return window[storage].getItem(name); } catch { return null; }
}

// ---- what is seen

// state shows the state. A screen reader speaks text, when it changes, and not the seconds.
function state(kind, text, seconds = "") {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("again").textContent = seconds;
  $("state").dataset.kind = kind;
  if (kind === "on" || text.startsWith("connecting")) $("now").hidden = true;
}

// element makes an element with text in it. What people wrote goes this way only, and so
// is never taken for HTML.
function element(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

function message(name, text, time) {
  const li = element("li", "", "");
  const when = element("time", "", time ? time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : "…");
  if (time) when.dateTime = time.toISOString();
  li.append(when, element("b", "", name), element("span", "", text));
  return li;
}

function note(text) { show(element("li", "note", text)); }

function show(li) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 50; // who reads further up is not disturbed
  // What is not confirmed stays at the end.
  const pending = li.className === "pending" ? null : log.querySelector(".pending");
  log.insertBefore(li, pending);
  while (log.childElementCount > 1000) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// ---- joining and leaving

$("join").onsubmit = e => {
  e.preventDefault();
  room = $("room").value.trim();
  me = $("name").value.trim();
  history.replaceState(null, "", "?" + new URLSearchParams({ room })); // a link to give away
  $("join").hidden = true;
  $("talk").hidden = false;
  document.title = document.querySelector("h1").textContent = room;
  const unsent = saved("sessionStorage", `outbox ${room} ${me}`);
  for (const { id, text } of JSON.parse(unsent) ?? []) say(id, text);
  save();
  $("text").focus();
  connect();
};

$("leave").onclick = () => {
  forget();
  for (const m of outbox) m.li.remove(); // they are saved, and sent on coming back
  [failures, outbox, own, stream, last, people, count] = [0, [], new Map(), "", 0, [], 0];
  $("log").replaceChildren();
  $("people").textContent = "";
  $("now").hidden = true;
  $("talk").hidden = true;
  $("join").hidden = false;
  document.title = document.querySelector("h1").textContent = "Chat";
  state("off", "not connected");
  $("name").focus();
};

$("room").value = new URLSearchParams(location.search).get("room") ?? "lobby";
$("name").value = saved("localStorage", "name") ?? "";
$("name").focus();
