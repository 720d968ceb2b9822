/** The errors, as an inbox: each kind once, how often, since when, and the newest example. */

import { ask } from "./api.js";
import { sparkline } from "./chart.js";
import { byId, el, replace } from "./dom.js";
import { ago, block, brief, count, counted, iso, line, stamp } from "./format.js";
import { addTerm, pieces } from "./language.js";
import { choice, Panel } from "./panel.js";
import { resolveTime } from "./state.js";
import { showTrace, shortPath } from "./trace.js";

const EVERY = 10_000;

export class Errors extends Panel {
  #state;
  #marks;
  #groups = [];
  #range = { start: 0, end: 0 };

  /**
   * @param {import("./state.js").State} state
   * @param {import("./marks.js").Marks} marks
   */
  constructor(state, marks) {
    super(byId("panel-errors"), EVERY);
    this.#state = state;
    this.#marks = marks;
    this.#showTools();
    marks.addEventListener("change", () => this.#showTools());
    state.addEventListener("change", ({ detail }) => {
      if (detail.changed.has("error") && this.#groups.length) this.#show();
      if (detail.changed.has("since") || detail.changed.has("tz")) this.#showTools();
    });
  }

  #showTools() {
    const { since, tz } = this.#state.view;
    const marks = this.#marks.all.slice(-30).reverse().map((mark) => [iso(mark.time), `${mark.text || mark.kind} (${stamp(mark.time, tz).slice(5, 16)})`]);
    const known = [["", "—"], ["-15m", "15 minutes ago"], ["-1h", "1 hour ago"], ["-1d", "24 hours ago"], ["-7d", "7 days ago"], ...marks];
    const at = resolveTime(since);
    const options = known.some(([value]) => value === since) || at === null ? known : [...known, [since, stamp(at, tz).slice(0, 19)]];
    replace(this.tools,
      choice({ id: "errors-since", label: "New since", value: since, options, choose: (value) => this.#state.set({ since: value }) }),
      el("span", { class: "space" }),
      el("span", { class: "dim", id: "errors-total" }));
    this.#showTotal();
  }

  async load(signal) {
    const { q, from, to, since } = this.#state.view;
    const found = await ask("errors", { where: q, start: resolveTime(from), end: resolveTime(to), since: resolveTime(since) }, signal);
    this.#groups = found.errors;
    this.#range = found;
    this.#showTotal();
    if (!this.#groups.length) this.empty("No exceptions here.\nWhat is logged with one appears by itself.");
    else this.#show();
  }

  #showTotal() {
    const target = this.tools.querySelector("#errors-total");
    const fresh = this.#groups.filter((group) => group.is_new).length;
    target.textContent = this.#groups.length ? `${counted(this.#groups.length, "kind")}${this.#state.view.since ? `, ${fresh} new` : ""}` : "";
  }

  #show() {
    const focused = this.content.contains(document.activeElement) ? document.activeElement.closest("[data-fingerprint]")?.dataset.fingerprint : null;
    const groups = [...this.#groups].sort((one, other) => Number(other.is_new) - Number(one.is_new) || other.last - one.last);
    const scroll = this.content.scrollTop;
    replace(this.content, el("ul", { class: "inbox", id: "errors-list" }, ...groups.map((group) => this.#group(group))));
    this.content.scrollTop = scroll;
    if (focused) this.content.querySelector(`[data-fingerprint="${CSS.escape(focused)}"] .headline`)?.focus({ preventScroll: true });
  }

  #group(group) {
    const unfolded = this.#state.view.error.split(",").filter(Boolean);
    const open = unfolded.includes(group.fingerprint);
    const { tz } = this.#state.view;
    const item = el("li", { class: "group", data: { fingerprint: group.fingerprint, new: String(Boolean(group.is_new)) } });
    const toggle = () => {
      const others = unfolded.filter((each) => each !== group.fingerprint);
      this.#state.set({ error: (open ? others : [...others, group.fingerprint]).join(",") }, { replace: true });
      this.content.querySelector(`[data-fingerprint="${CSS.escape(group.fingerprint)}"] .headline`)?.focus();
    };
    item.append(
      el("button", { type: "button", class: "headline", "aria-expanded": String(open), onclick: toggle },
        el("span", { class: "what" },
          el("span", { class: "type" }, group.is_new && el("span", { class: "badge new" }, "new"), line(group.type ?? group.example?.level ?? "error")),
          el("span", { class: "text" }, line(group.message ?? "").slice(0, 400)),
          el("span", { class: "culprit dim" }, line(group.culprit ?? ""))),
        sparkline(group.counts, { label: `${count(group.count)} between ${stamp(this.#range.start ?? group.first, tz)} and ${stamp(this.#range.end ?? group.last, tz)}` }),
        el("span", { class: "count num", title: count(group.count) }, brief(group.count)),
        el("span", { class: "seen num" }, el("span", { title: `last ${stamp(group.last, tz)}` }, ago(group.last)), el("span", { class: "dim", title: `first ${stamp(group.first, tz)}` }, `since ${ago(group.first).replace(" ago", "")}`)),
      ));
    if (open) item.append(this.#more(group));
    return item;
  }

  #more(group) {
    const example = group.example ?? {};
    const show = () => this.#state.set({ tab: "events", row: "", q: pieces(group.where).map((piece) => piece.text).reduce(addTerm, this.#state.view.q) });
    const open = () => this.#state.set({ tab: "events", row: `${example.producer}:${example.sequence}` });
    return el("div", { class: "more" },
      el("p", { class: "links" },
        el("button", { type: "button", class: "show-events", onclick: show }, "Show its events"),
        example.producer && el("button", { type: "button", class: "show-example", onclick: open }, "Open the newest"),
        el("span", { class: "dim" }, `${counted(group.count, "event")}, first ${stamp(group.first, this.#state.view.tz).slice(0, 19)}`)),
      el("pre", { class: "message" }, block(example.message ?? group.message ?? "").slice(0, 4000)),
      example.exception_message ? el("p", { class: "reason" }, block(example.exception_message).slice(0, 2000)) : null,
      example.stacktrace ? showTrace(example.stacktrace) : frames(group.frames));
  }
}

function frames(list) {
  return list?.length ? el("ul", { class: "frames mono" }, ...list.map(([path, name]) => el("li", {}, `${line(shortPath(path))} in ${line(name)}`))) : null;
}
