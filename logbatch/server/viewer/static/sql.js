/** SQL for who wants it: one SELECT on `logs`. */

import { send, toIndex } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { counted, duration, line } from "./format.js";
import { Panel } from "./panel.js";

const AT_ONCE = 500; // rows shown before "more"
const EXAMPLES = [
  ["The loudest", "SELECT logger, level, count(*) AS n\n  FROM logs\n GROUP BY ALL ORDER BY n DESC LIMIT 20"],
  ["Volume by minute", "SELECT time_bucket(INTERVAL '1 minute', timestamp) AS minute, count(*) AS n,\n       count(*) FILTER (levelno >= 40) AS errors\n  FROM logs\n GROUP BY 1 ORDER BY 1 DESC LIMIT 60"],
  ["An attribute's quantiles", "SELECT attributes->>'path' AS path, count(*) AS n,\n       round(quantile_cont((attributes->>'ms')::DOUBLE, 0.95), 1) AS p95\n  FROM logs\n GROUP BY 1 ORDER BY n DESC LIMIT 20"],
];

export class Sql extends Panel {
  #state;
  #done = "";

  /** @param {import("./state.js").State} state */
  constructor(state) {
    super(byId("panel-sql"), 0);
    this.#state = state;
    this.input = el("textarea", { id: "sql", rows: 6, spellcheck: "false", "aria-label": "SQL", placeholder: EXAMPLES[0][1], autocapitalize: "off" });
    this.told = el("span", { class: "dim", id: "sql-told", role: "status" });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.#run();
    });
    replace(this.tools,
      el("div", { class: "sql-box" }, this.input,
        el("div", { class: "sql-bar" },
          el("button", { type: "button", class: "strong", id: "sql-run", onclick: () => this.#run() }, "Run"), el("kbd", {}, "Ctrl Enter"), this.told, el("span", { class: "space" }),
          ...EXAMPLES.map(([name, text]) => el("button", { type: "button", class: "link", onclick: () => this.#try(text) }, name)))));
  }

  #try(text) {
    this.input.value = text;
    this.#run();
  }

  #run() {
    this.#done = "";
    const text = this.input.value.trim();
    if (text === this.#state.view.sql) this.refresh();
    else this.#state.set({ sql: text });
  }

  async load(signal) {
    const { sql } = this.#state.view;
    if (this.input.value.trim() !== sql) this.input.value = sql;
    if (!sql) return this.empty("One SELECT of DuckDB's SQL on the view `logs`. It can read nothing but this log, and change nothing.\nThe filter and the range above do not apply here.");
    if (this.#done === sql) return;
    this.told.textContent = "running…";
    try {
      const found = await send("sql", { query: sql }, signal);
      this.#done = sql;
      this.told.textContent = `${counted(found.count, "row")}${found.more ? ", and more" : ""} in ${duration(found.seconds)}`;
      this.#show(found);
    } catch (error) {
      this.told.textContent = "";
      if (error.name === "AbortError") throw error;
      this.content.replaceChildren();
      if (Number.isInteger(error.position)) this.input.setSelectionRange(toIndex(sql, error.position), toIndex(sql, error.position) + 1);
      throw error;
    }
  }

  #show({ columns, values, count }) {
    const numeric = columns.map((_, at) => values[at].some((value) => typeof value === "number"));
    const body = el("tbody");
    const table = el("table", { class: "table", id: "sql-result" }, el("thead", {}, el("tr", {}, ...columns.map((name, at) => el("th", { scope: "col", class: numeric[at] ? "num" : "" }, line(name))))), body);
    const more = el("button", { type: "button" }, "More rows");
    const append = () => {
      const from = body.childElementCount;
      const to = Math.min(count, from + AT_ONCE);
      for (let row = from; row < to; row += 1) body.append(el("tr", {}, ...columns.map((_, at) => cell(values[at][row], numeric[at]))));
      more.hidden = to >= count;
    };
    more.addEventListener("click", append);
    append();
    replace(this.content, el("div", { class: "scrolls" }, table), more);
  }
}

function cell(value, numeric) {
  if (value === null || value === undefined) return el("td", { class: "none" }, "null");
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return el("td", { class: numeric ? "num" : "mono", title: text.length > 50 ? line(text.slice(0, 2000)) : false }, line(text.slice(0, 2000)));
}
