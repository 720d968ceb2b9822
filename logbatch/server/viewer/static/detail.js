/** The event that is open: every field of it, and the way to those that belong to it. */

import { ask } from "./api.js";
import { withColumn } from "./columnmenu.js";
import { byId, el, replace } from "./dom.js";
import { ago, block, iso, line, stamp, zoneName } from "./format.js";
import { addTerm, termFor } from "./language.js";
import { kindOf } from "./levels.js";
import { toRows } from "./rowstore.js";
import { showTrace } from "./trace.js";
import { fillLong, tree } from "./tree.js";

const FIRST = ["logger", "service", "host", "process", "thread", "thread_name", "task", "func_name", "pathname", "lineno", "template", "trace_id", "span_id"];
const APART = new Set(["timestamp", "level", "levelno", "message", "attributes", "exception_type", "exception_message", "stacktrace"]);
const MESSAGE = 20_000; // characters shown at once
const AROUND = 30; // events before and after

export class Detail {
  #root = byId("detail");
  #state;
  #close;
  #asked = null;
  #row = null;

  /**
   * @param {import("./state.js").State} state
   * @param {() => void} close what closes it
   */
  constructor(state, close) {
    this.#state = state;
    this.#close = close;
    this.#root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#close();
    });
    state.addEventListener("change", ({ detail }) => {
      if (detail.changed.has("tz") && this.#row) this.#show(this.#row);
    });
  }

  /**
   * Open an event.
   * @param {string} key `PRODUCER:SEQUENCE`; an empty text closes what is open
   * @returns {Promise<object|null>} all of it
   */
  async open(key) {
    this.#asked?.abort();
    this.#row = null;
    this.#root.hidden = !key;
    if (!key) return null;
    const [producer, sequence] = key.split(":");
    this.#asked = new AbortController();
    try {
      const { row } = await ask("row", { producer, sequence }, this.#asked.signal);
      this.#show(row);
      if (this.#state.view.around) await this.#showContext(row);
      return row;
    } catch (error) {
      if (error.name !== "AbortError") this.#say(error.message);
      return null;
    }
  }

  #say(text) {
    replace(this.#root, this.#top("", []), el("p", { class: "note" }, text));
  }

  #show(row) {
    this.#row = row;
    const { attributes, ...rest } = row;
    replace(this.#root,
      this.#top(line(row.level), [
        ["detail-copy", "Copy JSON", (event) => copy(event.currentTarget, JSON.stringify(plain(row), null, 2))],
        ["detail-context", "Context", () => this.#state.set({ around: "1" })],
      ], row.levelno),
      el("div", { class: "content" },
        this.#time(row),
        this.#message(row),
        this.#links(row),
        exception(row),
        attributes && Object.keys(attributes).length ? el("section", { "aria-label": "Attributes" }, el("h3", {}, "Attributes"), tree(attributes, (path, value) => this.#tools(attributeName(path), value))) : null,
        el("section", { "aria-label": "Fields" }, el("h3", {}, "Fields"), this.#fields(rest)),
      ));
  }

  #top(title, actions, levelno) {
    const close = el("button", { type: "button", class: "icon quiet", id: "detail-close", "aria-label": "Close", title: "Close (esc)", onclick: () => this.#close() }, "×");
    return el("div", { class: "top", data: { kind: kindOf(levelno) } },
      el("h2", {}, title), el("span", { class: "space" }),
      ...actions.map(([id, text, act]) => el("button", { type: "button", id, onclick: act }, text)), close);
  }

  #time(row) {
    const { tz } = this.#state.view;
    return el("p", { class: "when" }, el("time", { datetime: iso(row.timestamp) }, stamp(row.timestamp, tz)), ` ${zoneName(tz)}`, el("span", { class: "dim" }, ` · ${ago(row.timestamp)}`));
  }

  #message(row) {
    const text = el("pre", { class: "message", data: { field: "message" } });
    fillLong(text, row.message ?? "", MESSAGE);
    return text;
  }

  #links(row) {
    const attributes = row.attributes ?? {};
    const links = [
      row.template && ["same-template", "Same template", termFor("template", row.template)],
      row.trace_id && ["same-trace", "Same trace", termFor("trace_id", row.trace_id)],
      !row.trace_id && attributes.trace_id && ["same-trace", "Same trace", termFor("attributes.trace_id", attributes.trace_id)],
      attributes.run_id && ["same-run", "Same run", termFor("run_id", attributes.run_id)],
      row.process && ["same-process", "Same process", processTerm(row)],
      row.exception_type && ["same-exception", "Same exception", termFor("exception_type", row.exception_type)],
    ].filter(Boolean);
    const show = (term) => this.#state.set({ q: term, tab: "events" });
    return el("p", { class: "links" }, ...links.map(([id, text, term]) => el("button", { type: "button", id, title: line(term), onclick: () => show(term) }, text)));
  }

  #fields(row) {
    const names = Object.keys(row).filter((name) => !APART.has(name) && row[name] !== null && row[name] !== undefined && row[name] !== "");
    const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
    names.sort((one, other) => rank(one) - rank(other));
    return el("dl", { class: "fields" }, ...names.flatMap((name) => {
      const value = el("span", { class: "leaf" });
      fillLong(value, typeof row[name] === "object" ? JSON.stringify(row[name]) : String(row[name]));
      return [el("dt", {}, line(name)), el("dd", { data: { field: name } }, el("span", { class: "value" }, value, this.#tools(name, row[name])))];
    }));
  }

  #tools(name, value) {
    if (typeof value === "string" && value.length > 500) return null;
    const term = termFor(name, value);
    const add = (text) => this.#state.set({ q: addTerm(this.#state.view.q, text) });
    return el("span", { class: "tools" },
      el("button", { type: "button", class: "icon", title: `only ${line(term)}`, "aria-label": `Only ${line(term)}`, onclick: () => add(term) }, "+"),
      el("button", { type: "button", class: "icon", title: `not ${line(term)}`, "aria-label": `Not ${line(term)}`, onclick: () => add(`-${term}`) }, "−"),
      el("button", { type: "button", class: "icon", title: "as a column", "aria-label": `${line(name)} as a column`, onclick: () => this.#addColumn(name) }, "▥"));
  }

  #addColumn(name) {
    if (!name.includes(",")) this.#state.set({ cols: withColumn(this.#state.view.cols.split(","), name).join(",") });
  }

  async #showContext(row) {
    const content = this.#root.querySelector(".content");
    try {
      const { rows } = await ask("context", { producer: row.producer, sequence: row.sequence, before: AROUND, after: AROUND });
      if (this.#row !== row) return;
      const lines = toRows(rows).map((each) => this.#contextLine(each, row));
      const list = el("ol", { class: "context", id: "context", "aria-label": "What the same process and thread did around this event" }, ...lines);
      replace(content, el("p", { class: "links" }, el("button", { type: "button", onclick: () => this.#state.set({ around: "" }) }, "← the event"), el("span", { class: "dim" }, "the same process and thread")), list);
      list.querySelector("[aria-current]")?.scrollIntoView({ block: "center" });
    } catch (error) {
      this.#say(error.message);
    }
  }

  #contextLine(each, row) {
    const isThis = each.producer === row.producer && each.sequence === row.sequence;
    const open = () => this.#state.set({ row: `${each.producer}:${each.sequence}` });
    return el("li", { data: { kind: kindOf(each.levelno) }, "aria-current": isThis ? "true" : false },
      el("button", { type: "button", class: "link", onclick: open, title: `${line(each.level)} ${line(each.logger)}` },
        el("span", { class: "dim" }, `${stamp(each.timestamp, this.#state.view.tz).slice(11, 23)} `), line(each.message).slice(0, 500)));
  }
}

function exception(row) {
  if (!row.exception_type && !row.stacktrace) return null;
  return el("section", { class: "exception", "aria-label": "Exception" },
    el("h3", {}, block(row.exception_type ?? "Stack")),
    row.exception_message ? el("p", { class: "reason" }, block(row.exception_message.slice(0, 5000))) : null,
    row.stacktrace ? el("details", { open: true }, el("summary", {}, "Frames"), showTrace(row.stacktrace)) : null);
}

function processTerm(row) {
  return `${termFor("process", row.process)}${row.host ? ` ${termFor("host", row.host)}` : ""}`;
}

/** The name that means an attribute in a filter, also where a column has it. */
function attributeName(path) {
  const isColumn = FIRST.includes(path) || APART.has(path) || path === "producer" || path === "sequence";
  return isColumn ? `attributes.${path}` : path;
}

function plain(row) {
  return { ...row, timestamp: iso(row.timestamp) };
}

async function copy(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed"; // by the browser, as on a page without https on another host
  }
  setTimeout(() => (button.textContent = before), 1200);
}
