/**
 * The list of events: of millions of rows there are only the visible ones in the document.
 *
 * Where the scroll bar is scaled to the rows, a small movement, by a wheel or a finger, still moves
 * them by as many pixels; a large one, by the bar, goes to that share of the rows.
 */

import { el, onFrame } from "./dom.js";
import { keyOf } from "./rowstore.js";
import { Bar } from "./scale.js";

const JUMP = 4000; // pixels of one movement that is no longer a wheel's
const SETTLED = 160; // milliseconds without movement after which the bar is put right
const AHEAD = 60; // rows above and below that are asked for as well

/** Dispatches `open` (a row was chosen), `cursor` (it moved), `follow` (it was turned on or off). */
export class RowList extends EventTarget {
  #root;
  #store;
  #columns;
  #head;
  #body;
  #canvas;
  #window;
  #rowHeight = 22;
  #headHeight = 24;
  #height = 0;
  #top = 0; // the place of the row at the upper edge, with a fraction
  #last = 0; // where the bar stood when it was last looked at
  #settling = 0;
  #following = true;
  #cursor = null;
  #pool = [];
  #poolFirst = 0;

  /**
   * @param {HTMLElement} root
   * @param {import("./rowstore.js").RowStore} store
   * @param {import("./columns.js").Columns} columns
   */
  constructor(root, store, columns) {
    super();
    this.#root = root;
    this.#store = store;
    this.#columns = columns;
    this.#head = el("div", { class: "head", role: "rowgroup" });
    this.#body = el("div", { class: "lines", role: "rowgroup" });
    this.#window = el("div", { class: "window", role: "presentation" }, this.#head, this.#body);
    this.#canvas = el("div", { class: "canvas", role: "presentation" }, this.#window);
    root.append(this.#canvas);
    this.render = onFrame(() => this.#render());
    store.addEventListener("change", this.render);
    root.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#body.addEventListener("click", (event) => this.#clicked(event));
    new ResizeObserver(() => this.#measure()).observe(root);
    this.showColumns();
  }

  /** Whether the newest row stays in sight. */
  get following() {
    return this.#following;
  }

  /** The place of the row that the keys act on; null where there is none. */
  get cursor() {
    return this.#cursor;
  }

  /** Show other columns, or the same in another form. */
  showColumns() {
    this.#head.replaceChildren(this.#columns.header());
    for (const line of this.#pool) line.element.remove();
    this.#pool = [];
    this.#measure();
  }

  /** Show all rows anew: their form has changed. */
  redraw() {
    for (const line of this.#pool) line.row = undefined;
    this.render();
  }

  /** Stay at the newest row, or where one is. @param {boolean} on */
  follow(on) {
    if (this.#following === on) return;
    this.#following = on;
    this.dispatchEvent(new Event("follow"));
    this.render();
  }

  /** Begin at the newest row, without a cursor: there are other rows now. */
  restart() {
    this.#cursor = null;
    this.#following = false;
    this.follow(true);
  }

  /** Keep what is shown where it is, though places have shifted by so many. @param {number} shift */
  shift(shift) {
    this.#top += shift;
    if (this.#cursor !== null) this.#cursor += shift;
  }

  /** Move the cursor by so many rows. @param {number} by */
  move(by) {
    const { first, end } = this.#store;
    if (first === end) return;
    const from = this.#cursor ?? (by > 0 ? Math.ceil(this.#top) - 1 : Math.floor(this.#top + this.#visible));
    this.place(Math.max(first, Math.min(end - 1, from + by)));
  }

  /** The first visible row that is here. */
  get topRow() {
    return this.#pool.find((line) => line.row)?.row;
  }

  /** Rows that fit into the window. */
  get page() {
    return Math.max(1, Math.floor(this.#visible) - 1);
  }

  /** Put the cursor on a row, or nowhere. @param {number|null} place @param {{centred?: boolean}} [options] */
  place(place, { centred = false } = {}) {
    this.#cursor = place;
    if (place !== null && centred) this.#top = place - Math.floor(this.#visible / 3);
    if (place !== null) this.#reveal(place);
    this.dispatchEvent(new Event("cursor"));
    this.render();
  }

  #reveal(place) {
    const { end } = this.#store;
    if (place < this.#top) this.#top = place;
    else if (place + 1 > this.#top + this.#visible) this.#top = place + 1 - this.#visible;
    this.follow(place === end - 1 && this.#top + this.#visible >= end - 0.5);
  }

  get #visible() {
    return this.#height / this.#rowHeight;
  }

  #measure() {
    const style = getComputedStyle(this.#root);
    this.#rowHeight = parseFloat(style.getPropertyValue("--row")) || 22;
    this.#headHeight = this.#head.offsetHeight;
    if (!this.#root.clientHeight) return; // another tab is shown
    this.#height = Math.max(0, this.#root.clientHeight - this.#headHeight);
    this.#window.style.height = `${this.#root.clientHeight}px`;
    this.render();
  }

  #scrolled() {
    const at = this.#root.scrollTop;
    const moved = at - this.#last;
    if (Math.abs(moved) < 1 || !this.#root.clientHeight) return;
    this.#last = at;
    const { first, end } = this.#store;
    const bar = this.#bar();
    if (bar.isScaledAt(at) && Math.abs(moved) < JUMP) this.#top += moved / this.#rowHeight;
    else this.#top = first + bar.toPixels(at) / this.#rowHeight;
    this.follow(this.#top + this.#visible >= end - 0.5);
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      this.#settling = 0;
      this.render();
    }, SETTLED);
    this.render();
  }

  #bar() {
    return new Bar((this.#store.end - this.#store.first) * this.#rowHeight, this.#height);
  }

  #render() {
    const { first, end } = this.#store;
    const lowest = Math.max(first, end - this.#visible);
    this.#top = this.#following ? lowest : Math.max(first, Math.min(lowest, this.#top));
    const bar = this.#bar();
    this.#canvas.style.height = `${bar.height + this.#headHeight}px`;
    this.#setBar(bar, (this.#top - first) * this.#rowHeight);
    this.#root.setAttribute("aria-rowcount", String(this.#store.isCounted ? end - first + 1 : -1));
    this.#fillLines(first, end);
    const [from, to] = [Math.floor(this.#top), Math.ceil(this.#top + this.#visible)];
    this.#store.want(from, to); // first what is seen
    this.#store.want(from - AHEAD, to + AHEAD);
  }

  #setBar(bar, pixels) {
    if (this.#settling && !this.#following && bar.isScaledAt(this.#root.scrollTop)) return;
    const wanted = bar.fromPixels(pixels);
    if (Math.abs(this.#root.scrollTop - wanted) >= 1) this.#root.scrollTop = wanted;
    this.#last = this.#root.scrollTop;
  }

  #fillLines(first, end) {
    const start = Math.floor(this.#top);
    const shown = Math.max(0, Math.min(Math.ceil(this.#visible) + 1, end - start));
    this.#rotate(start, shown);
    this.#body.style.transform = `translateY(${(start - this.#top) * this.#rowHeight}px)`;
    this.#pool.forEach((line, at) => this.#fillLine(line, start + at, start + at - first));
    const active = this.#pool[(this.#cursor ?? -Infinity) - start];
    if (active) this.#root.setAttribute("aria-activedescendant", active.element.id);
    else this.#root.removeAttribute("aria-activedescendant");
  }

  /** Let as few lines as possible change: those that went out at one end come in at the other. */
  #rotate(start, shown) {
    const shift = start - this.#poolFirst;
    this.#poolFirst = start;
    if (shift > 0 && shift < this.#pool.length) {
      const gone = this.#pool.splice(0, shift);
      this.#pool.push(...gone);
      this.#body.append(...gone.map((line) => line.element));
    } else if (shift < 0 && -shift < this.#pool.length) {
      const gone = this.#pool.splice(shift);
      this.#pool.unshift(...gone);
      this.#body.prepend(...gone.map((line) => line.element));
    }
    while (this.#pool.length > shown) this.#pool.pop().element.remove();
    while (this.#pool.length < shown) {
      const line = this.#columns.line();
      this.#pool.push(line);
      this.#body.append(line.element);
    }
  }

  #fillLine(line, place, index) {
    const row = this.#store.at(place);
    if (line.place !== place || line.index !== index) {
      line.place = place;
      line.index = index;
      line.element.id = `row-${place}`;
      line.element.dataset.place = String(place);
      line.element.setAttribute("aria-rowindex", String(index + 2));
    }
    const current = place === this.#cursor;
    if (line.current !== current) {
      line.current = current;
      line.element.classList.toggle("current", current);
      line.element.setAttribute("aria-selected", String(current));
    }
    if (line.row !== row || line.row === undefined) {
      line.row = row;
      line.element.dataset.key = row ? keyOf(row) : "";
      this.#columns.fill(line, row);
    }
  }

  #clicked(event) {
    const element = event.target.closest(".row");
    if (!element || String(getSelection()).length > 0) return;
    this.#cursor = Number(element.dataset.place);
    if (this.#cursor < this.#store.end - 1) this.follow(false);
    this.render();
    this.dispatchEvent(new Event("cursor"));
    this.dispatchEvent(new Event("open"));
  }
}
