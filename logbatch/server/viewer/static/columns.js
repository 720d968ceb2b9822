/** The columns of the list: which, how wide, and how their values look. */

import { el, setText } from "./dom.js";
import { ago, clock, day, line, stamp } from "./format.js";
import { kindOf } from "./levels.js";

const WIDTHS = { timestamp: 19, level: 9, logger: 15, message: 0, service: 12, host: 14, process: 8, thread: 16, exception_type: 20, template: 30 };
const USUAL = 14; // characters
const NARROWEST = 4, WIDEST = 200;
const STEP = 2, GAP = 1.2; // characters
const STORED = "logbatch.widths";
const ALWAYS = ["message", "logger", "exception_type"]; // asked for also where no column shows them

const TITLES = { timestamp: "time" };

/** Dispatches `resize` when a column has another width. */
export class Columns extends EventTarget {
  #state;
  #root;
  #widths;
  #words = [];

  /** @param {import("./state.js").State} state @param {HTMLElement} root where the widths apply */
  constructor(state, root) {
    super();
    this.#state = state;
    this.#root = root;
    this.#widths = new Map(Object.entries(readStored()));
  }

  /** The names of the columns that are shown. @returns {string[]} */
  get names() {
    return [...new Set(this.#state.view.cols.split(",").filter(Boolean))];
  }

  /** The names of the columns that the server is asked for. @returns {string[]} */
  get asked() {
    return [...new Set([...this.names, ...ALWAYS])];
  }

  /** Make the line of titles; a title's right edge sets the width. @returns {HTMLElement} */
  header() {
    this.#apply();
    this.#root.setAttribute("aria-colcount", String(this.names.length));
    const cells = this.names.map((name) => this.#title(name));
    return el("div", { class: "row titles", role: "row", "aria-rowindex": 1 }, ...cells);
  }

  /** Have words of messages stand out. @param {string[]} words in lower case */
  highlight(words) {
    this.#words = words;
  }

  /** Make an empty line. */
  line() {
    const cells = this.names.map((name) => el("span", { class: "cell", role: "gridcell", data: { column: name } }));
    return { element: el("div", { class: "row", role: "row" }, ...cells), cells, place: null, index: null, current: null, row: undefined };
  }

  /** Write a row into a line; undefined is one that has not come yet. */
  fill(target, row) {
    const { element, cells } = target;
    element.classList.toggle("loading", !row);
    element.dataset.kind = row ? kindOf(row.levelno) : "";
    for (const cell of cells) {
      if (!row) cell.textContent = "";
      else this.#fillCell(cell, row, cell.dataset.column);
    }
  }

  /** Write the times of a line again, where they are relative. */
  refreshTime(target) {
    const cell = target.querySelector('[data-column="timestamp"]');
    if (cell?.dataset.us) setText(cell, ago(Number(cell.dataset.us)));
  }

  #fillCell(cell, row, name) {
    if (name === "timestamp") this.#fillTime(cell, row.timestamp);
    else if (name === "message") fillMessage(cell, row, this.#words, !this.names.includes("exception_type"));
    else if (name === "level") setText(cell, line(row.level));
    else fillValue(cell, row[name]);
  }

  #fillTime(cell, us) {
    const { tz, time } = this.#state.view;
    cell.title = `${stamp(us, tz)} ${tz === "utc" ? "UTC" : "local time"}`;
    cell.dataset.us = String(us);
    if (time === "rel") return setText(cell, ago(us));
    const date = day(us, tz);
    const year = date.slice(0, 4) === String(new Date().getFullYear());
    cell.replaceChildren(el("span", { class: "date" }, `${year ? date.slice(5) : date.slice(2)} `), clock(us, tz));
  }

  #title(name) {
    const grip = el("span", {
      class: "grip", role: "separator", tabindex: 0, "aria-orientation": "vertical", "aria-valuenow": this.#widths.get(name) ?? WIDTHS[name] ?? USUAL, "aria-valuemin": NARROWEST, "aria-valuemax": WIDEST, "aria-label": `Width of ${name}`,
      title: "Drag, or use the arrow keys",
      onpointerdown: (event) => this.#drag(event, name),
      onkeydown: (event) => this.#nudge(event, name),
      ondblclick: () => this.#setWidth(name, null),
    });
    return el("span", { class: "cell", role: "columnheader", data: { column: name } }, el("span", { class: "title" }, line(TITLES[name] ?? name)), grip);
  }

  #drag(event, name) {
    event.preventDefault();
    const grip = event.currentTarget;
    const from = event.clientX;
    const wide = grip.parentElement.getBoundingClientRect().width;
    const em = characterWidth(this.#root);
    grip.setPointerCapture(event.pointerId);
    const moved = (move) => this.#setWidth(name, (wide + move.clientX - from) / em);
    grip.addEventListener("pointermove", moved);
    grip.addEventListener("lostpointercapture", () => grip.removeEventListener("pointermove", moved), { once: true });
  }

  #nudge(event, name) {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const wide = event.currentTarget.parentElement.getBoundingClientRect().width / characterWidth(this.#root);
    this.#setWidth(name, wide + by);
  }

  #setWidth(name, characters) {
    if (characters === null) this.#widths.delete(name);
    else this.#widths.set(name, Math.round(Math.max(NARROWEST, Math.min(WIDEST, characters)) * 10) / 10);
    localStorage.setItem(STORED, JSON.stringify(Object.fromEntries(this.#widths)));
    this.#apply();
    this.dispatchEvent(new Event("resize"));
  }

  #grip(name) {
    return this.#root.querySelector(`.titles [data-column="${CSS.escape(name)}"] .grip`);
  }

  #apply() {
    const names = this.names;
    const rest = names.includes("message") && !this.#widths.has("message") ? "message" : names.at(-1);
    const tracks = names.map((name) => {
      const wide = this.#widths.get(name) ?? WIDTHS[name] ?? USUAL;
      return name === rest ? `minmax(${Math.max(wide, 24)}ch, 1fr)` : `${wide || 60}ch`;
    });
    const least = names.map((name) => this.#widths.get(name) ?? (name === rest ? 24 : (WIDTHS[name] ?? USUAL) || 60));
    const wide = least.reduce((sum, width) => sum + width + GAP, 0);
    names.forEach((name, at) => this.#grip(name)?.setAttribute("aria-valuenow", String(Math.round(least[at]))));
    this.#root.style.setProperty("--tracks", tracks.join(" "));
    this.#root.style.setProperty("--least", `calc(${wide}ch + 20px)`);
  }
}

function fillMessage(cell, row, words, tells) {
  const text = line(row.message ?? "");
  const says = tells && row.exception_type;
  if (!says && !words.length) return setText(cell, text);
  const exception = says ? [el("span", { class: "exception" }, line(row.exception_type))] : [];
  cell.replaceChildren(...withMarks(text, words), ...exception);
}

/** Cut a text where words begin and end that stand out. */
function withMarks(text, words) {
  const small = text.toLowerCase();
  if (!words.length || small.length !== text.length) return [text];
  const found = [];
  let from = 0;
  while (from < text.length) {
    const [at, word] = firstOf(small, words, from);
    if (at < 0) break;
    found.push(text.slice(from, at), el("mark", {}, text.slice(at, at + word.length)));
    from = at + word.length;
  }
  return [...found, text.slice(from)];
}

function firstOf(text, words, from) {
  return words.reduce((best, word) => {
    const at = text.indexOf(word, from);
    return at >= 0 && (best[0] < 0 || at < best[0]) ? [at, word] : best;
  }, [-1, ""]);
}

function fillValue(cell, value) {
  const missing = value === null || value === undefined;
  setText(cell, missing ? "" : line(typeof value === "object" ? JSON.stringify(value) : value));
}

function characterWidth(root) {
  const probe = el("span", { class: "probe" }, "0".repeat(20));
  root.append(probe);
  const width = probe.getBoundingClientRect().width / 20;
  probe.remove();
  return width || 7;
}

function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORED) ?? "{}");
    return typeof stored === "object" && stored ? stored : {};
  } catch {
    return {};
  }
}
