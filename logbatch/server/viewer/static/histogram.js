/** Volume over time, stacked by level; drag to zoom, click for a mark. */

import { el, onFrame } from "./dom.js";
import { count, line, stamp } from "./format.js";
import { paint, sum } from "./paint.js";

const DRAGGED = 4; // pixels of a movement that is no click
const MOST_MORE = 2000; // bins that may be added at once
const NEAR = 5; // pixels from a mark

/**
 * Dispatches `zoom` (detail: `start`, `end`), `pick` (a click; detail: `start`, `end`, `time`, `x`)
 * and `say` (detail: a text for who cannot see it).
 */
export class Histogram extends EventTarget {
  #root;
  #state;
  #levels;
  #marks;
  #canvas = el("canvas", { "aria-hidden": "true" });
  #band = el("div", { class: "band", hidden: true });
  #tip = el("div", { class: "tip", hidden: true });
  #none = el("div", { class: "none" }, "counting…");
  #data = null;
  #cursor = null;
  #anchor = null;
  #dragged = false;
  #isBeyond = false; // whether something came for which there is no room

  /**
   * @param {HTMLElement} root
   * @param {import("./state.js").State} state
   * @param {import("./levels.js").Levels} levels
   * @param {import("./marks.js").Marks} marks
   */
  constructor(root, state, levels, marks) {
    super();
    this.#root = root;
    this.#state = state;
    this.#levels = levels;
    this.#marks = marks;
    root.append(this.#canvas, this.#none, this.#band, this.#tip);
    this.draw = onFrame(() => this.#draw());
    new ResizeObserver(this.draw).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.draw);
    marks.addEventListener("change", this.draw);
    root.addEventListener("pointerdown", (event) => this.#press(event));
    root.addEventListener("click", (event) => this.#pick(event));
    root.addEventListener("pointermove", (event) => this.#hover(event));
    root.addEventListener("pointerleave", () => this.#rest());
    root.addEventListener("keydown", (event) => this.#key(event));
    root.addEventListener("blur", () => this.#rest());
  }

  /** Bins that there is room for. */
  get room() {
    return Math.max(40, Math.min(320, Math.round((this.#root.clientWidth || innerWidth) / 7)));
  }

  /** Bins that have come since the histogram was made; none at all is endlessly many. */
  get grown() {
    return this.#data && !this.#isBeyond ? this.#data.counts.length - this.#data.made : Infinity;
  }

  /** Show another one. @param {{start: number, width: number, levels: string[], counts: number[][]}} data */
  show(data) {
    const counts = data.counts.map((bin) => [...bin]);
    this.#data = { ...data, levels: [...data.levels], counts, made: counts.length };
    this.#cursor = this.#anchor = null;
    this.#isBeyond = false;
    this.draw();
  }

  /** Add what came live. @param {[number, string, number][]} added time of a bin, level, how many */
  add(added) {
    const data = this.#data;
    if (!data?.counts.length) return;
    for (const [time, level, many] of added) {
      const bin = Math.round((time - data.start) / data.width);
      this.#isBeyond ||= bin >= data.counts.length + MOST_MORE;
      if (bin < 0 || bin >= data.counts.length + MOST_MORE) continue;
      while (data.counts.length <= bin) data.counts.push([]);
      let at = data.levels.indexOf(level);
      if (at < 0) at = data.levels.push(level) - 1;
      data.counts[bin][at] = (data.counts[bin][at] ?? 0) + many;
    }
    this.draw();
  }

  /** Say that there is nothing. @param {string} text */
  clear(text) {
    this.#data = null;
    this.#none.textContent = text;
    this.draw();
  }

  #draw() {
    const isEmpty = !this.#data?.counts.length;
    this.#none.hidden = !isEmpty;
    const marks = isEmpty ? [] : this.#marks.all.map((mark) => ({ ...mark, x: this.#xOf(mark.time) })).filter(({ x }) => x !== null);
    paint(this.#canvas, this.#root, isEmpty ? null : { ...this.#data, cursor: this.#cursor, marks, zone: this.#state.view.tz, levelsOf: this.#levels });
    if (!isEmpty) this.#describe();
  }

  #xOf(time, width = this.#root.clientWidth) {
    const { start, width: binWidth, counts } = this.#data;
    const share = (time - start) / (binWidth * counts.length);
    return share >= 0 && share <= 1 ? share * width : null;
  }

  #binAt(x) {
    const share = x / Math.max(1, this.#root.clientWidth);
    return Math.max(0, Math.min(this.#data.counts.length - 1, Math.floor(share * this.#data.counts.length)));
  }

  #timesOf(one, other = one) {
    const { start, width } = this.#data;
    return { start: start + Math.min(one, other) * width, end: start + (Math.max(one, other) + 1) * width };
  }

  #press(event) {
    if (!this.#data?.counts.length || event.button) return;
    const left = this.#root.getBoundingClientRect().left;
    const from = event.clientX - left;
    let to = from;
    this.#root.setPointerCapture(event.pointerId);
    const moved = (move) => {
      to = move.clientX - left;
      if (Math.abs(to - from) >= DRAGGED) this.#showBand(this.#binAt(from), this.#binAt(to));
    };
    const over = (done) => {
      this.#root.removeEventListener("pointermove", moved);
      this.#band.hidden = true;
      this.#dragged = Math.abs(to - from) >= DRAGGED;
      if (this.#dragged && done.type === "pointerup") this.#tell("zoom", this.#timesOf(this.#binAt(from), this.#binAt(to)));
    };
    this.#root.addEventListener("pointermove", moved);
    this.#root.addEventListener("pointerup", over, { once: true });
    this.#root.addEventListener("pointercancel", over, { once: true });
  }

  #pick(event) {
    if (!this.#data?.counts.length || this.#dragged) return;
    const x = event.clientX - this.#root.getBoundingClientRect().left;
    const { start, width, counts } = this.#data;
    const time = Math.round(start + (x / this.#root.clientWidth) * width * counts.length);
    this.#tell("pick", { ...this.#timesOf(this.#binAt(x)), time, x });
  }

  #showBand(one, other) {
    const step = this.#root.clientWidth / this.#data.counts.length;
    this.#band.hidden = false;
    this.#band.style.left = `${Math.min(one, other) * step}px`;
    this.#band.style.width = `${(Math.abs(other - one) + 1) * step}px`;
  }

  #hover(event) {
    if (!this.#data?.counts.length) return;
    const x = event.clientX - this.#root.getBoundingClientRect().left;
    this.#showTip(this.#binAt(x), x);
  }

  #showTip(bin, x) {
    const { start, end } = this.#timesOf(bin);
    const counts = this.#data.counts[bin];
    const rows = this.#data.levels.map((name, at) => [name, counts[at] ?? 0]).filter(([, many]) => many);
    rows.sort(([one], [other]) => this.#levels.number(other) - this.#levels.number(one));
    const marks = this.#marks.all.filter((mark) => Math.abs((this.#xOf(mark.time) ?? -99) - x) <= NEAR);
    this.#tip.replaceChildren(
      el("div", { class: "dim" }, `${this.#stamp(start)} – ${this.#stamp(end).slice(11)}`),
      el("div", {}, el("b", {}, count(sum(counts))), el("span", {}, "events")),
      ...rows.map(([name, many]) => el("div", {}, el("span", {}, el("i", { class: "swatch", data: { kind: this.#levels.kind(name) } }), line(name)), el("span", {}, count(many)))),
      ...marks.slice(0, 4).map((mark) => el("div", {}, el("b", {}, line(mark.text || mark.kind)))),
    );
    this.#tip.hidden = false;
    const right = x > this.#root.clientWidth / 2;
    this.#tip.style.left = right ? "auto" : `${x + 12}px`;
    this.#tip.style.right = right ? `${this.#root.clientWidth - x + 12}px` : "auto";
  }

  /** A time as exactly as the bars are. */
  #stamp(time) {
    const text = stamp(Math.round(time), this.#state.view.tz);
    return this.#data.width >= 1e6 ? text.slice(0, 19) : text;
  }

  #rest() {
    this.#tip.hidden = true;
    if (this.#cursor === null) return;
    this.#cursor = this.#anchor = null;
    this.#band.hidden = true;
    this.draw();
  }

  #key(event) {
    if (!this.#data?.counts.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.#data.counts.length - 1;
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (by !== undefined) this.#step(Math.max(0, Math.min(last, (this.#cursor ?? last + (by > 0 ? 0 : 1)) + by)), event.shiftKey);
    else if (event.key === "Enter" && this.#cursor !== null) this.#tell("zoom", this.#timesOf(this.#anchor, this.#cursor));
    else if (event.key === "Escape" && this.#cursor !== null) this.#rest();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #step(bin, extends_) {
    this.#cursor = bin;
    if (!extends_ || this.#anchor === null) this.#anchor = bin;
    const step = this.#root.clientWidth / this.#data.counts.length;
    this.#showBand(this.#anchor, bin);
    this.#showTip(bin, (bin + 0.5) * step);
    this.#tell("say", `${this.#stamp(this.#timesOf(bin).start)}: ${count(sum(this.#data.counts[bin]))} events`);
    this.draw();
  }

  #describe() {
    const zone = this.#state.view.tz;
    const { start, end } = this.#timesOf(0, this.#data.counts.length - 1);
    const label = `Volume from ${stamp(start, zone).slice(0, 19)} to ${stamp(end, zone).slice(0, 19)}. Arrow keys read it, with Shift they select, Enter zooms.`;
    if (this.#root.getAttribute("aria-label") !== label) this.#root.setAttribute("aria-label", label);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
