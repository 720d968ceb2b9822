/** The runs of `logbatch run`: which go on, how far they are, how they ended, and what they printed. */

import { ask } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { ago, block, bytes, duration, line, stamp } from "./format.js";
import { termFor } from "./language.js";
import { Panel } from "./panel.js";

const EVERY = 1000;
const LIMIT = 200;
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

export class Runs extends Panel {
  #state;
  #shown = "";

  /** @param {import("./state.js").State} state */
  constructor(state) {
    super(byId("panel-runs"), EVERY);
    this.#state = state;
    this.list = el("ul", { class: "runs", id: "runs-list", "aria-label": "Runs" });
    this.one = el("div", { class: "run", id: "run" });
    state.addEventListener("change", ({ detail }) => detail.changed.has("run") && this.root.hidden === false && this.refresh());
  }

  async load(signal) {
    const { run } = this.#state.view;
    const [{ runs }, open] = await Promise.all([ask("runs", { limit: LIMIT }, signal), run ? ask(`runs/${encodeURIComponent(run)}`, {}, signal) : null]);
    if (!runs.length) return this.empty("No runs here.\n`logbatch run PROGRAM` makes one.");
    if (!this.list.isConnected) replace(this.content, this.list, this.one);
    this.#showList(runs, run);
    this.one.hidden = !open;
    this.content.classList.toggle("open", Boolean(open));
    if (open) this.#showRun(open);
  }

  #showList(runs, selected) {
    const text = JSON.stringify([runs, selected, Math.floor(Date.now() / 10_000)]);
    if (text === this.#shown) return;
    this.#shown = text;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.run : null;
    replace(this.list, ...runs.map((run) => this.#item(run, run.id === selected)));
    if (focused) this.list.querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus();
  }

  #item(run, selected) {
    const toggle = () => this.#state.set({ run: selected ? "" : run.id });
    return el("li", {}, el("button", { type: "button", data: { run: run.id, outcome: kindOf(run) }, "aria-current": selected ? "true" : false, onclick: toggle },
      el("span", { class: "command mono" }, line(run.command).slice(0, 300)),
      el("span", { class: "outcome" }, el("i", { class: "dot", "aria-hidden": "true" }), line(run.outcome ?? run.status)),
      el("span", { class: "dim" }, `${ago(run.started_at)} · ${duration(((run.ended_at ?? Date.now() * 1000) - run.started_at) / 1e6)}`),
      run.live && run.progress ? el("span", { class: "progress" }, line(run.progress)) : null,
      run.live ? bar(run.progress) : null));
  }

  #showRun({ run, output, cut }) {
    const { tz } = this.#state.view;
    const key = `${run.id} ${run.stdout_size} ${run.stderr_size} ${run.status} ${run.progress} ${tz}`;
    if (this.one.dataset.key === key) return;
    const old = this.one.querySelector(".output");
    const atEnd = this.one.dataset.run !== run.id || !old || old.scrollHeight - old.scrollTop - old.clientHeight < 30;
    const place = old?.scrollTop ?? 0;
    this.one.dataset.key = key;
    this.one.dataset.run = run.id;
    const pre = el("pre", { class: "output", tabindex: 0, "aria-label": "Output" }, ...output.map(({ stream, text }) => el("span", { class: stream === "stderr" ? "stderr" : "" }, readable(text))));
    replace(this.one,
      el("div", { class: "top" },
        el("h2", { class: "mono" }, line(run.command).slice(0, 1000)), el("span", { class: "space" }),
        el("button", { type: "button", id: "run-events", onclick: () => this.#state.set({ tab: "events", q: termFor("run_id", run.id) }) }, "Its events"),
        el("button", { type: "button", class: "icon quiet", "aria-label": "Close", onclick: () => this.#state.set({ run: "" }) }, "×")),
      el("p", { class: "dim" }, `${line(run.outcome ?? run.status)} · started ${stamp(run.started_at, tz).slice(0, 19)}`, run.ended_at ? ` · took ${duration((run.ended_at - run.started_at) / 1e6)}` : "", ` · pid ${run.pid} on ${line(run.host)} · ${bytes(run.stdout_size + run.stderr_size)} printed`),
      run.progress && el("p", { class: "progress", id: "run-progress" }, line(run.progress)), run.live && bar(run.progress),
      cut && el("p", { class: "dim" }, "the end of what it printed:"),
      pre);
    pre.scrollTop = atEnd ? pre.scrollHeight : place;
  }
}

/** How a terminal would leave a text: without colours, and each line as it was written last. @param {string} text */
export function readable(text) {
  const plain = text.replace(ESCAPES, "").replace(/\r+\n/g, "\n");
  const written = plain.split("\n").map((each) => each.replace(/\r+$/, "").split("\r").at(-1));
  return block(written.join("\n"));
}

function bar(progress) {
  const percent = Number(/(\d+(?:\.\d+)?)\s*%/.exec(progress ?? "")?.[1] ?? NaN);
  if (!(percent >= 0 && percent <= 100)) return null;
  return el("span", { class: "track", role: "progressbar", "aria-valuenow": percent, "aria-label": "Progress" }, el("i", { style: { width: `${percent}%` } }));
}

function kindOf(run) {
  if (run.live) return "live";
  return run.exit_code === 0 ? "good" : "bad";
}
