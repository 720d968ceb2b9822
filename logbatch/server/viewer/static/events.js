/** The tab of events: what the server sends goes to the list, the histogram and the facets. */

import { wireBar } from "./bar.js";
import { Columns } from "./columns.js";
import { byId } from "./dom.js";
import { Facets } from "./facets.js";
import { counted } from "./format.js";
import { Histogram } from "./histogram.js";
import { bareWords } from "./language.js";
import { Numbers } from "./numbers.js";
import { RowList } from "./rows.js";
import { CHUNK, keyOf, RowStore } from "./rowstore.js";
import { isRelative, resolveTime } from "./state.js";

const ASKS_ANEW = new Set(["q", "from", "to", "cols"]); // parts of a view that the server must know of
const GROWN = 0.25; // the histogram is made anew when it has become longer by so much
const TOTAL_EVERY = 250; // milliseconds between two updates of live numbers
const SETTLED = 2000; // before a view is asked for anew
const RENEWED_EVERY = 15_000;
const ANNOUNCE_AFTER = 1000;

/**
 * Dispatches `select` (detail: the row or null), `say` (detail: a text), `told` (the server answered
 * a view) and `fresh` (it was another view than before).
 */
export class Events extends EventTarget {
  #state;
  #connection;
  #levels;
  #marks;
  #range;
  #numbers;
  #total = 0;
  #live = 0;
  #pausedAt = 0;
  #levelCounts = new Map();
  #waiting = null; // a first page that is shown when the numbers are there
  #early = null; // what came live before the statistics, which do not count it
  #held = []; // what came live meanwhile
  #filling = false;
  #shownView = "";
  #numbersTimer = 0;
  #announceTimer = 0;
  #info = null;
  #snapshot = null; // the histogram without what came live
  #counted = null; // becomes done when the numbers of the view are there
  #isCounted = () => {};
  #opened = 0;
  #isNew = true;
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
    this.#numbers = new Numbers(levels);
    this.store = new RowStore((offset, many) => !this.#waiting && connection.page(offset, many));
    this.columns = new Columns(state, byId("rows"));
    this.list = new RowList(byId("rows"), this.store, this.columns);
    this.histogram = new Histogram(byId("histogram"), state, levels, marks);
    this.facets = new Facets(byId("facets"), state, levels);
    this.columns.highlight(bareWords(state.view.q));
    this.#listen();
    wireBar(this, state, { marks, range });
    setInterval(() => this.#renew(), RENEWED_EVERY);
  }

  /** Ask the server for the view. */
  open() {
    const { from, to, q } = this.#state.view;
    const now = Date.now() * 1000;
    this.#opened = now;
    this.#counted = new Promise((resolve) => (this.#isCounted = resolve));
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
    on("page", (message) => this.#waiting || this.store.page(message)); // what waits has other places
    on("marks", ({ marks }) => this.#marks.tell(marks)); // they were not there when the statistics were
    on("append", (message) => this.#append(message));
    this.#state.addEventListener("change", ({ detail }) => this.#changed(detail.changed));
    this.list.addEventListener("follow", () => this.#followed());
    this.list.addEventListener("open", () => this.#select());
    this.store.addEventListener("hole", () => this.#fill());
    this.facets.addEventListener("filter", ({ detail }) => this.#state.set({ q: detail }));
    this.histogram.addEventListener("zoom", ({ detail }) => this.#range.zoom(detail.start, detail.end));
    this.histogram.addEventListener("say", ({ detail }) => this.#say(detail));
  }

  /** Follow the newest rows, or stop that. @param {boolean} [on] */
  toggleFollow(on = !this.list.following) {
    if (on && this.store.isFull) this.open(); // what came meanwhile was not kept
    this.list.follow(on);
  }

  /** A range that moves with the clock has moved on. */
  #renew() {
    const { from, to } = this.#state.view;
    if (to || document.hidden || !this.list.following || !this.#snapshot?.width) return;
    const length = isRelative(from) ? this.#opened - resolveTime(from, this.#opened) : this.#snapshot.width * this.#snapshot.counts.length;
    if (Date.now() * 1000 - this.#opened > Math.max(RENEWED_EVERY * 1000, length * GROWN)) this.open();
  }

  /** Put the cursor on an event, wherever it is, or on the first at that time. @param {string} key @param {number} time */
  async goTo(key, time) {
    await this.#counted;
    const { seek, seekRow } = await import("./seek.js");
    const asked = this.#connection.generation;
    const place = key ? await seekRow(this.store, this.#snapshot, key, time) : await seek(this.store, this.#snapshot, time);
    if (place === null || asked !== this.#connection.generation) return;
    this.list.follow(false);
    this.list.place(place, { centred: true });
  }

  /** Ask anew for what came live and was not kept, and stay where one reads. */
  #fill() {
    const row = this.list.following || this.#waiting ? null : this.list.topRow;
    if (!row || this.#filling) return;
    this.#filling = true;
    this.open();
    this.goTo(keyOf(row), row.timestamp).finally(() => (this.#filling = false));
  }

  /** The filter has a mistake: what was shown before stays, but is not what was asked for. */
  fail() {
    this.#numbers.showMistake(this.store.end === this.store.first);
    if (this.store.end === this.store.first) this.histogram.clear("");
  }

  #changed(changed) {
    if ([...changed].some((name) => ASKS_ANEW.has(name))) {
      if (changed.has("cols")) this.list.showColumns();
      this.open();
    }
    this.columns.highlight(bareWords(this.#state.view.q));
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
    this.#numbers.accept();
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
    this.#early = message.stats ? null : [];
    this.store.reset(message);
    this.#live = 0;
    this.#pausedAt = 0;
    if (!isSame) {
      this.#isNew = true;
      this.list.restart();
      this.dispatchEvent(new Event("fresh"));
    } else if (!following) this.list.shift(before - (message.stats?.total ?? this.store.size));
    else if (cursor) this.list.place(this.store.find(cursor));
    if (!isSame) this.#numbers.loosen();
    this.#showNumbers();
  }

  #cursorKey() {
    const row = this.list.cursor === null ? null : this.store.at(this.list.cursor);
    return row ? keyOf(row) : null;
  }

  #stats(stats) {
    if (this.#waiting) this.#begin({ ...this.#waiting, stats, total: stats.total }, true);
    this.#total = stats.total;
    this.store.count(stats.total);
    for (const [name, number] of stats.levels) this.#levels.learn(name, number);
    this.#levelCounts = new Map(stats.levels.map(([name, , many]) => [name, many]));
    this.#fields = stats.facets.map((facet) => facet.field);
    const { histogram } = stats;
    this.#snapshot = histogram;
    this.#isCounted();
    if (histogram?.counts.length) this.histogram.show(histogram);
    else this.histogram.clear("no events");
    this.#range.cover(histogram?.counts.length ? { start: histogram.start, end: histogram.start + histogram.width * histogram.counts.length } : null);
    this.#marks.tell(stats.marks ?? []);
    this.facets.show(stats.facets);
    for (const message of this.#early ?? []) this.#addCounts(message);
    this.#early = null;
    this.#showNumbers();
    for (const message of this.#held.splice(0)) this.#append(message);
    if (!this.#isNew) return;
    this.#isNew = false;
    clearTimeout(this.#announceTimer);
    this.#announceTimer = setTimeout(() => this.#say(counted(this.#total, "event")), ANNOUNCE_AFTER);
  }

  #append(message) {
    if (this.#waiting) {
      this.#held.push(message);
      return;
    }
    this.store.append(message.rows, this.list.following);
    this.#live = message.total;
    this.#early?.push(message);
    this.#addCounts(message);
    this.histogram.add(message.histogram);
    this.#numbers.showSampled(message.sampled);
    this.#numbersTimer ||= setTimeout(() => {
      this.#numbersTimer = 0;
      this.#showNumbers();
    }, TOTAL_EVERY);
    const limit = Math.max(10, GROWN * this.histogram.room);
    const isOld = Date.now() * 1000 - this.#opened > SETTLED * 1000;
    const isCounted = this.#early === null; // else the numbers on their way would never come
    if (this.list.following && isOld && isCounted && this.histogram.grown > limit) this.open();
  }

  #addCounts({ levels, facets }) {
    for (const [name, number, many] of levels) {
      this.#levels.learn(name, number);
      this.#levelCounts.set(name, (this.#levelCounts.get(name) ?? 0) + many);
    }
    this.facets.add(facets);
  }

  #showNumbers() {
    const { store, list } = this;
    const total = store.isCounted ? Math.max(store.size, this.#total) + this.#live : null;
    this.#numbers.show({ total, levels: this.#levelCounts, fresh: list.following ? 0 : this.#live - this.#pausedAt });
    this.#numbers.showEmpty(store.end === store.first && store.isCounted, this.#state.view);
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
