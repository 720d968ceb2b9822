/** The patterns: what is logged by template, how much of it, and what changed between two ranges of time. */

import { ask } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { ago, brief, count, counted, iso, line, percent, short, stamp } from "./format.js";
import { addTerm, termForPattern } from "./language.js";
import { choice, Panel } from "./panel.js";
import { openRanges, readRanges } from "./ranges.js";
import { resolveTime } from "./state.js";

const CHANGES = ["new", "gone", "more", "less", "same"];
const SIGNS = { new: "+", gone: "−", more: "↑", less: "↓", same: "=" };
const TWO = "two";

export class Patterns extends Panel {
  #state;
  #marks;
  #levels;
  #patterns = [];

  /**
   * @param {import("./state.js").State} state
   * @param {import("./marks.js").Marks} marks
   * @param {import("./levels.js").Levels} levels
   */
  constructor(state, marks, levels) {
    super(byId("panel-patterns"), 0);
    this.#state = state;
    this.#marks = marks;
    this.#levels = levels;
    this.#showTools();
    marks.addEventListener("change", () => this.#showTools());
    state.addEventListener("change", ({ detail }) => {
      if (["before", "tz", "only"].some((name) => detail.changed.has(name))) this.#showTools();
      if (detail.changed.has("only") && this.#patterns.length) this.#show();
    });
  }

  /** The change that alone is shown; empty where all are, as where none is like that. */
  get #only() {
    const { before, only } = this.#state.view;
    return before && this.#patterns.some((pattern) => pattern.change === only) ? only : "";
  }

  #showTools() {
    const { before, tz } = this.#state.view;
    const marks = this.#marks.all.slice(-30).reverse().map((mark) => [iso(mark.time), `${mark.text || mark.kind} (${stamp(mark.time, tz).slice(5, 16)})`]);
    const known = [["", "—"], ["-5m", "5 minutes ago"], ["-15m", "15 minutes ago"], ["-1h", "1 hour ago"], ["-1d", "24 hours ago"], ...marks, [TWO, "two ranges…"]];
    const named = known.some(([value]) => value === before);
    const options = named ? known : [...known, [before, before.includes("/") ? "two ranges" : stamp(resolveTime(before) ?? 0, tz).slice(0, 19)]];
    const choose = (value) => (value === TWO ? openRanges(byId("patterns-compare"), this.#state) : this.#state.set({ before: value }));
    replace(this.tools,
      choice({ id: "patterns-compare", label: "What changed since", value: before, options, choose }),
      ...this.#chips(),
      el("span", { class: "space" }),
      el("span", { class: "dim", id: "patterns-total" }, this.#patterns.length ? counted(this.#patterns.length, "pattern") : ""),
      el("button", { type: "button", id: "patterns-refresh", onclick: () => this.refresh() }, "Refresh"));
  }

  #chips() {
    if (!this.#state.view.before) return [];
    return CHANGES.map((change) => {
      const many = this.#patterns.filter((pattern) => pattern.change === change).length;
      const pick = () => {
        this.#state.set({ only: this.#only === change ? "" : change }, { replace: true });
      };
      return el("button", { type: "button", class: "chip", data: { change }, disabled: !many, "aria-pressed": String(this.#only === change), onclick: pick }, `${SIGNS[change]} ${change} ${many}`);
    });
  }

  async load(signal) {
    const { q, from, to, before } = this.#state.view;
    const compared = before ? readRanges(before, resolveTime(to)) : {};
    this.#patterns = (await ask("patterns", { where: q, start: resolveTime(from), end: resolveTime(to), ...compared }, signal)).patterns;
    this.#showTools();
    this.#show();
  }

  #show() {
    const compares = Boolean(this.#state.view.before);
    const found = this.#patterns.filter((pattern) => !this.#only || pattern.change === this.#only);
    if (!found.length) return this.empty("No events here.");
    if (compares) found.sort((one, other) => CHANGES.indexOf(one.change) - CHANGES.indexOf(other.change) || weight(other) - weight(one));
    const titles = compares ? ["change", "before", "after", "factor", "pattern"] : ["count", "share", "rate", "first seen", "pattern"];
    replace(this.content, el("table", { class: `table patterns${compares ? " compares" : ""}`, id: "patterns-table" },
      el("thead", {}, el("tr", {}, ...titles.map((title, at) => el("th", { scope: "col", class: at < 4 ? "num" : "" }, title)))),
      el("tbody", {}, ...found.map((pattern) => this.#pattern(pattern, compares)))));
  }

  #pattern(pattern, compares) {
    const cells = compares
      ? [el("td", {}, el("span", { class: `badge ${pattern.change}` }, `${SIGNS[pattern.change] ?? ""} ${pattern.change}`)), number(pattern.before), number(pattern.after), el("td", { class: "num dim" }, ratio(pattern))]
      : [number(pattern.count), el("td", { class: "num share" }, el("i", { style: { width: `${pattern.share * 100}%` } }), percent(pattern.share)), el("td", { class: "num" }, rate(pattern.rate)), el("td", { class: "num dim", title: stamp(pattern.first, this.#state.view.tz) }, ago(pattern.first))];
    const show = () => this.#state.set({ tab: "events", row: "", q: addTerm(this.#state.view.q, termForPattern(pattern.template, pattern.example)) });
    return el("tr", { data: { change: pattern.change ?? "" } }, ...cells,
      el("td", { class: "wide" },
        el("i", { class: "swatch", data: { kind: this.#levels.kind(pattern.level) }, title: line(pattern.level) }),
        el("span", { class: "unseen" }, line(pattern.level)),
        el("button", { type: "button", class: "link mono", onclick: show, title: `example: ${line(pattern.example).slice(0, 300)}` }, line(pattern.template).slice(0, 500)),
        el("span", { class: "dim" }, line(pattern.logger))));
  }
}

function number(many) {
  return el("td", { class: "num", title: count(many) }, many === null || many === undefined ? "–" : brief(many));
}

function rate(perSecond) {
  if (perSecond >= 1) return `${short(Number(perSecond.toPrecision(3)))}/s`;
  if (perSecond * 60 >= 1) return `${(perSecond * 60).toPrecision(2)}/min`;
  return `${short(Number((perSecond * 3600).toPrecision(2)))}/h`;
}

function ratio({ change, ratio: factor }) {
  if (!["more", "less"].includes(change) || !Number.isFinite(factor)) return "";
  return factor >= 1 ? `×${factor.toPrecision(2)}` : `÷${(1 / factor).toPrecision(2)}`;
}

function weight(pattern) {
  return Math.abs((pattern.after ?? 0) - (pattern.before ?? 0));
}
