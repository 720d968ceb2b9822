/** The tab of events: what the server sends goes to the list, the histogram and the facets. */

import { Columns } from "./columns.js";
import { byId, el, setText } from "./dom.js";
import { Facets } from "./facets.js";
import { brief, count, counted, line, short } from "./format.js";
import { Histogram } from "./histogram.js";
import { RowList } from "./rows.js";
import { CHUNK, keyOf, RowStore } from "./rowstore.js";
import { isRelative, resolveTime } from "./state.js";

const ASKS_ANEW = new Set(["q", "from", "to", "cols"]); // parts of a view that the server must know of
const GROWN = 0.25; // the histogram is made anew when it has become longer by so much
const TOTAL_EVERY = 250; // milliseconds between two updates of live numbers
const ANNOUNCE_AFTER = 1000;

/** Dispatches `select` (detail: the row or null), `say` (detail: a text) and `told` (the server answered a view). */
export class Events extends EventTarget {
  #state;
  #connection;
  #levels;
  #marks;
  #range;
  #total = 0;
  #live = 0;
  #pausedAt = 0;
  #levelCounts = new Map();
  #waiting = null; // a first page that is shown when the numbers are there
  #held = []; // what came live meanwhile
  #shownView = "";
  #numbersTimer = 0;
  #announceTimer = 0;
  #info = null;
  #fields = [];

  /**
   * @param {import("./state.js").State} state
   * @param {import("./connection.js").Connection} connection
   * @param {{levels: import("./levels.js").Levels, marks: import("./marks.js").Marks, range: import("./timerange.js").TimeRange}} shared
   */
  constructor(state, connection, { levels, marks, range }) {
    super();
    this.#state = state;
    this.#connection = connection;
    this.#levels = levels;
    this.#marks = marks;
    this.#range = range;
    this.store = new RowStore((offset, many) => connection.page(offset, many));
    this.columns = new Columns(state, byId("rows"));
    this.list = new RowList(byId("rows"), this.store, this.columns);
    this.histogram = new Histogram(byId("histogram"), state, levels, marks);
    this.facets = new Facets(byId("facets"), state, levels);
    this.#listen();
    this.#wireButtons();
  }

  /** Ask the server for the view. */
  open() {
    const { from, to, q } = this.#state.view;
    const now = Date.now() * 1000;
    this.#connection.open({
      where: q,
      start: resolveTime(from, now),
      end: resolveTime(to, now),
      columns: this.columns.asked,
      count: CHUNK,
      bins: this.histogram.room,
      follow: !to || isRelative(to),
    });
  }

  /** Learn what the directory has. @param {object} info */
  inform(info) {
    this.#info = info;
  }

  /** Fields that one may want as a column. @returns {string[]} */
  get fields() {
    return [...new Set([...(this.#info?.columns ?? []), ...(this.#info?.promoted ?? []), ...this.#fields])];
  }

  #listen() {
    const on = (type, act) => this.#connection.addEventListener(type, (event) => act(event.detail));
    on("rows", (message) => this.#rows(message));
    on("stats", ({ stats }) => this.#stats(stats));
    on("page", (message) => this.store.page(message));
    on("append", (message) => this.#append(message));
    this.#state.addEventListener("change", ({ detail }) => this.#changed(detail.changed));
    this.list.addEventListener("follow", () => this.#followed());
    this.list.addEventListener("open", () => this.#select());
    this.store.addEventListener("full", () => this.list.following && this.open());
    this.facets.addEventListener("filter", ({ detail }) => this.#state.set({ q: detail }));
    this.histogram.addEventListener("zoom", ({ detail }) => this.#range.zoom(detail.start, detail.end));
    this.histogram.addEventListener("pick", ({ detail }) => this.#pick(detail));
    this.histogram.addEventListener("say", ({ detail }) => this.#say(detail));
  }

  #wireButtons() {
    byId("follow").addEventListener("click", () => this.toggleFollow());
    byId("resume").addEventListener("click", () => this.toggleFollow(true));
    byId("columns").addEventListener("click", () => this.#chooseColumns());
    byId("facets-button").addEventListener("click", (event) => {
      const open = byId("facets").classList.toggle("open");
      event.currentTarget.setAttribute("aria-expanded", String(open));
    });
  }

  /** Follow the newest rows, or stop that. @param {boolean} [on] */
  toggleFollow(on = !this.list.following) {
    if (on && this.store.isFull) this.open(); // what came meanwhile was not kept
    this.list.follow(on);
  }

  async #chooseColumns() {
    const { openColumnMenu } = await import("./columnmenu.js");
    openColumnMenu(byId("columns"), this.#state, this.fields);
  }

  async #pick(place) {
    const { openMarkBox } = await import("./markbox.js");
    openMarkBox(byId("histogram"), place, this.#state, this.#marks, this.#range);
  }

  #changed(changed) {
    if ([...changed].some((name) => ASKS_ANEW.has(name))) {
      if (changed.has("cols")) this.list.showColumns();
      this.open();
    }
    if (changed.has("tz") || changed.has("time")) {
      this.list.redraw();
      this.histogram.draw();
    }
    if (changed.has("q")) this.facets.refresh();
  }

  #rows(message) {
    const { q, from, to, cols } = this.#state.view;
    const shown = JSON.stringify([q, from, to, cols]);
    const isSame = shown === this.#shownView;
    this.#shownView = shown;
    this.dispatchEvent(new Event("told"));
    if (isSame && !this.list.following && !message.stats) {
      this.#waiting = message; // what one reads stays where it is
      this.#held = [];
      return;
    }
    this.#begin(message, isSame);
    if (message.stats) this.#stats(message.stats);
  }

  #begin(message, isSame) {
    const before = this.store.size;
    const following = this.list.following;
    const cursor = this.#cursorKey();
    this.#waiting = null;
    this.store.reset(message);
    this.#live = 0;
    this.#pausedAt = 0;
    if (!isSame) this.list.restart();
    else if (!following) this.list.shift(before - (message.stats?.total ?? this.store.size));
    else if (cursor) this.list.place(this.store.find(cursor));
    if (!isSame) this.#loosen();
    this.#showEmpty();
    this.#showNumbers();
  }

  #cursorKey() {
    const row = this.list.cursor === null ? null : this.store.at(this.list.cursor);
    return row ? keyOf(row) : null;
  }

  /** The numbers of another view are not those of this one; they go grey until the new ones come. */
  #loosen() {
    byId("panel-events").classList.add("counting");
  }

  #stats(stats) {
    if (this.#waiting) this.#begin({ ...this.#waiting, stats, total: stats.total }, true);
    byId("panel-events").classList.remove("counting");
    this.#total = stats.total;
    this.store.count(stats.total);
    for (const [name, number] of stats.levels) this.#levels.learn(name, number);
    this.#levelCounts = new Map(stats.levels.map(([name, , many]) => [name, many]));
    this.#fields = stats.facets.map((facet) => facet.field);
    const { histogram } = stats;
    if (histogram?.counts.length) this.histogram.show(histogram);
    else this.histogram.clear(stats.total ? "" : "no events in this range");
    this.#range.cover(histogram?.counts.length ? { start: histogram.start, end: histogram.start + histogram.width * histogram.counts.length } : null);
    this.#marks.tell(stats.marks ?? []);
    this.facets.show(stats.facets);
    this.#showEmpty();
    this.#showNumbers();
    for (const message of this.#held.splice(0)) this.#append(message);
    clearTimeout(this.#announceTimer);
    this.#announceTimer = setTimeout(() => this.#say(`${counted(this.#total, "event")}`), ANNOUNCE_AFTER);
  }

  #append(message) {
    if (this.#waiting) {
      this.#held.push(message);
      return;
    }
    this.store.append(message.rows);
    this.#live = message.total;
    for (const [name, number, many] of message.levels) {
      this.#levels.learn(name, number);
      this.#levelCounts.set(name, (this.#levelCounts.get(name) ?? 0) + many);
    }
    this.histogram.add(message.histogram);
    this.facets.add(message.facets);
    this.#showSampled(message.sampled);
    this.#numbersTimer ||= setTimeout(() => {
      this.#numbersTimer = 0;
      this.#showNumbers();
      this.#showEmpty();
    }, TOTAL_EVERY);
    const limit = Math.max(10, GROWN * this.histogram.room);
    if (this.list.following && this.histogram.grown > limit) this.open();
  }

  #showSampled(sampled) {
    const field = byId("sampled");
    field.hidden = !sampled;
    if (sampled) setText(field, `too fast to show all: ${short(sampled.shown)} of ${short(sampled.of)} rows; the counts are exact`);
  }

  #showNumbers() {
    const known = this.store.isCounted;
    const total = (known ? this.store.size : 0) + this.#live;
    setText(byId("total"), known ? counted(Math.max(total, this.#total + this.#live), "event") : "counting…");
    const names = [...this.#levelCounts].filter(([, many]) => many).sort(([one], [other]) => this.#levels.number(other) - this.#levels.number(one));
    byId("levels").replaceChildren(...names.slice(0, 8).map(([name, many]) =>
      el("span", {}, el("i", { class: "swatch", data: { kind: this.#levels.kind(name) } }), `${line(name)} ${brief(many)}`)));
    const fresh = this.#live - this.#pausedAt;
    const resume = byId("resume");
    resume.hidden = this.list.following || fresh <= 0;
    setText(resume, `${count(fresh)} new ↓`);
  }

  #showEmpty() {
    const empty = byId("empty");
    const { q, from, to } = this.#state.view;
    empty.hidden = this.store.end > this.store.first || !this.store.isCounted;
    const narrowed = q || from || to;
    setText(empty, narrowed ? "Nothing matches.\nOther words, or a wider range?" : "There is nothing in this directory yet.\nWhat is logged appears here by itself.");
  }

  #followed() {
    const { following } = this.list;
    byId("follow").setAttribute("aria-pressed", String(following));
    if (!following) this.#pausedAt = this.#live;
    this.#showNumbers();
  }

  #select() {
    const row = this.list.cursor === null ? null : this.store.at(this.list.cursor);
    this.dispatchEvent(new CustomEvent("select", { detail: row ?? null }));
  }

  #say(text) {
    this.dispatchEvent(new CustomEvent("say", { detail: text }));
  }
}
