/** Puts the page together. */

import { ask } from "./api.js";
import { openFacets } from "./bar.js";
import { Connection } from "./connection.js";
import { byId } from "./dom.js";
import { Events } from "./events.js";
import { FilterBox } from "./filterbox.js";
import { listenForKeys } from "./keys.js";
import { Levels } from "./levels.js";
import { Marks } from "./marks.js";
import { keyOf } from "./rowstore.js";
import { State } from "./state.js";
import { Tabs } from "./tabs.js";
import { TimeRange } from "./timerange.js";
import { hideProblem, showInfo, showProblem, wireTopbar } from "./topbar.js";

const FORBIDDEN = 401;
const LOCKED = "The server was started anew and asks for its token: open the URL that it printed, in this browser.";
const AGES_EVERY = 1000; // milliseconds between two updates of relative times
const AGAIN_AFTER = 3000; // milliseconds after which a view is asked for again that the server gave up
const DETAIL_AFTER = 90; // milliseconds that a cursor rests before its event is opened

function start() {
  const state = new State();
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const connection = new Connection(`${scheme}//${location.host}/api/live`);
  const shared = { levels: new Levels(), marks: new Marks(), range: new TimeRange(state) };
  const filter = new FilterBox();
  const events = new Events(state, connection, shared);
  wireTopbar(state, connection);
  wireFilter(state, connection, filter, events);
  wireDetail(state, events);
  events.open();
  const tabs = new Tabs(state, {
    errors: async () => new (await import("./errors.js")).Errors(state, shared.marks),
    patterns: async () => new (await import("./patterns.js")).Patterns(state, shared.marks, shared.levels),
    pipeline: async () => new (await import("./pipeline.js")).Pipeline(),
    runs: async () => new (await import("./runs.js")).Runs(state),
    sql: async () => new (await import("./sql.js")).Sql(state),
  });
  wireKeys(state, events, filter, shared, tabs);
  events.addEventListener("say", (event) => (byId("announcer").textContent = event.detail));
  setInterval(() => state.view.time === "rel" && !document.hidden && events.list.redraw(), AGES_EVERY);
  wireInfo(connection, events, shared.marks);
}

/** Learn what the directory has, and why a server that is there does not let us in. */
function wireInfo(connection, events, marks) {
  let version = null;
  const inform = async () => {
    const info = await ask("info");
    if (version && version !== info.version) location.reload(); // another server, which has another page
    version = info.version;
    showInfo(info);
    events.inform(info);
    marks.open(info.directory);
  };
  const complain = (error) => error.status && showProblem(error.status === FORBIDDEN ? LOCKED : error.message);
  connection.addEventListener("status", ({ detail }) => detail.state !== "connecting" && inform().catch(complain));
}

function wireFilter(state, connection, filter, events) {
  filter.set(state.view.q);
  filter.addEventListener("filter", ({ detail }) => {
    if (detail === state.view.q) events.open();
    else state.set({ q: detail, row: "" });
  });
  state.addEventListener("change", ({ detail }) => detail.changed.has("q") && filter.set(state.view.q));
  events.addEventListener("told", () => {
    filter.fine();
    hideProblem();
  });
  connection.addEventListener("error", ({ detail }) => {
    if (detail.where === "filter") {
      events.fail();
      return filter.fail(detail.message, detail.position);
    }
    showProblem(detail.message);
    const { generation } = connection;
    if (detail.where === "server") setTimeout(() => generation === connection.generation && events.open(), AGAIN_AFTER);
  });
  connection.addEventListener("notice", ({ detail }) => showProblem(detail.text));
}

function wireDetail(state, events) {
  const { list, store } = events;
  let timer = 0;
  let detail = null;
  let shown = null;
  const openRow = (row) => row && state.set({ row: keyOf(row) }, { replace: Boolean(state.view.row) });
  const close = () => {
    state.set({ row: "" });
    byId("rows").focus();
  };
  const show = async () => {
    if (!detail) {
      if (!state.view.row) return;
      const { Detail } = await import("./detail.js");
      detail ??= new Detail(state, close);
    }
    shown = null;
    shown = await detail.open(state.view.row);
    find();
  };
  const find = () => {
    const here = list.cursor === null ? null : store.at(list.cursor);
    if (shown && (!here || keyOf(here) !== keyOf(shown))) events.goTo(keyOf(shown), shown.timestamp);
  };
  events.addEventListener("fresh", find);
  events.addEventListener("select", (event) => openRow(event.detail));
  list.addEventListener("cursor", () => {
    clearTimeout(timer);
    if (state.view.row && list.cursor !== null) timer = setTimeout(() => openRow(store.at(list.cursor)), DETAIL_AFTER);
  });
  state.addEventListener("change", (event) => ["row", "around"].some((name) => event.detail.changed.has(name)) && show());
  show();
}

async function openHelp() {
  (await import("./help.js")).openHelp();
}

function wireKeys(state, events, filter, { marks }, tabs) {
  const { list, store } = events;
  const inEvents = (act) => () => (document.body.dataset.tab === "events" ? void act() : false);
  const inList = (act) => ({ target }) => (target === document.body || byId("list").contains(target) ? inEvents(act)() : false);
  const move = (by) => {
    byId("rows").focus({ preventScroll: true }); // else Enter would press again what was clicked last
    list.move(by);
  };
  const toFirst = () => store.end > store.first && list.place(store.first);
  const toLast = () => store.end > store.first && list.place(store.end - 1);
  listenForKeys({
    "/": () => filter.focus(),
    "?": openHelp,
    j: inEvents(() => move(1)),
    ArrowDown: inList(() => move(1)),
    k: inEvents(() => move(-1)),
    ArrowUp: inList(() => move(-1)),
    PageDown: inList(() => list.move(list.page)),
    PageUp: inList(() => list.move(-list.page)),
    Home: inList(toFirst),
    End: inList(toLast),
    g: inEvents(toFirst),
    G: inEvents(toLast),
    Enter: inEvents(() => list.cursor !== null && list.dispatchEvent(new Event("open"))),
    f: inEvents(() => events.toggleFollow()),
    z: () => byId("zoom-out").click(),
    c: inEvents(() => {
      const here = list.cursor === null ? null : store.at(list.cursor);
      const row = state.view.row || (here ? keyOf(here) : "");
      if (row) state.set({ row, around: "1" });
    }),
    t: () => state.set({ time: state.view.time === "rel" ? "abs" : "rel" }, { replace: true }),
    m: inEvents(() => {
      const row = list.cursor === null ? null : store.at(list.cursor);
      marks.add(row?.timestamp ?? Date.now() * 1000, "");
    }),
    Escape: () => {
      openFacets(false);
      if (state.view.row) state.set({ row: "" });
      else list.place(null);
    },
    ...Object.fromEntries([..."123456"].map((key, at) => [key, () => tabs.go(at)])),
  });
  byId("help-button").addEventListener("click", openHelp);
}

start();
