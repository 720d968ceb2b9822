// Runs in the page before its own scripts: notes when something was sent, came, and was on screen.
// `seen.frames` are the times between two frames while `seen.counting`.
const seen = { sent: [], received: [], delays: [], newest: 0, frames: [], counting: false };
globalThis.seen = seen;

const afterPaint = (act) =>
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => act(performance.now());
    channel.port2.postMessage(null);
  });

const take = (text) => {
  const message = JSON.parse(text);
  const note = { type: message.type, generation: message.generation, at: performance.now() };
  note.hasStatistics = message.type === "stats" || Boolean(message.stats);
  note.rows = message.rows?.timestamp?.length ?? 0;
  note.size = text.length;
  note.last = message.rows?.message?.at(-1);
  seen.received.push(note);
  const called = message.type === "page" ? [] : (message.rows?.timestamp ?? []);
  const fresh = called.filter((time) => time > seen.newest);
  seen.newest = Math.max(seen.newest, called.at(-1) ?? 0);
  afterPaint((now) => {
    note.painted = now;
    note.shown = document.querySelectorAll("#rows .row[data-key]:not([data-key=''])").length;
    note.isWhole = !document.querySelector("#rows .row.loading");
    for (const time of fresh) seen.delays.push(performance.timeOrigin + now - time / 1000);
  });
};

globalThis.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", (event) => take(event.data));
  }

  send(text) {
    const { type, generation } = JSON.parse(text);
    seen.sent.push({ type, generation, at: performance.now() });
    super.send(text);
  }
};

let before = performance.now();
const count = (now) => {
  if (seen.counting) seen.frames.push(now - before);
  before = now;
  requestAnimationFrame(count);
};
requestAnimationFrame(count);
