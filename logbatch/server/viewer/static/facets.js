/** Fields and their most frequent values: a click includes, shift-click excludes. */

import { el, setText } from "./dom.js";
import { brief, count, counted, line, short } from "./format.js";
import { excludedValues, includedValues, stateOf, toggleExclude, toggleInclude } from "./language.js";

const COUNTED_EVERY = 400; // milliseconds between two updates of the live counts
const SCATTERED = 50; // values
const SHOWN = 8; // values before "more"

/** Dispatches `filter` (detail: the new filter). */
export class Facets extends EventTarget {
  #root;
  #state;
  #levels;
  #facets = [];
  #choices = new Map(); // by field, the values it had when none of them was asked for
  #counts = new Map(); // by field and value as JSON
  #open = new Set();
  #folded = new Map();
  #timer = 0;

  /**
   * @param {HTMLElement} root
   * @param {import("./state.js").State} state
   * @param {import("./levels.js").Levels} levels
   */
  constructor(root, state, levels) {
    super();
    this.#root = root;
    this.#state = state;
    this.#levels = levels;
    root.addEventListener("click", (event) => this.#clicked(event));
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show others. @param {object[]} facets as the server counts them */
  show(facets) {
    this.#facets = facets;
    this.#counts.clear();
    for (const { field, values } of facets) if (!includedValues(this.#state.view.q, field).length) this.#choices.set(field, values.map(([value]) => value));
    for (const facet of facets) for (const [value, many] of facet.values) this.#counts.set(keyFor(facet.field, value), many);
    this.refresh();
  }

  /** Add what came live. @param {[string, unknown, number][]} added field, value, how many */
  add(added) {
    for (const [field, value, many] of added) {
      const key = keyFor(field, value);
      if (this.#counts.has(key)) this.#counts.set(key, this.#counts.get(key) + many);
      else if (this.#take(field, value)) this.#counts.set(key, many);
    }
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#recount();
    }, COUNTED_EVERY);
  }

  /** Whether a value that came live has a place, which then is made. */
  #take(field, value) {
    const facet = this.#facets.find((other) => other.field === field);
    if (!facet || facet.values.length >= 10) return false;
    facet.values.push([value, 0]);
    this.refresh();
    return true;
  }

  /** Show the same again: the filter is another one. */
  refresh() {
    const focused = this.#root.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.key : null;
    const shown = this.#facets.filter((facet) => this.#valuesOf(facet).length);
    this.#root.replaceChildren(...shown.map((facet) => this.#facet(facet)));
    if (!shown.length) this.#root.append(el("p", { class: "facets-note" }, "Counts of levels, loggers and fields appear here."));
    this.#recount();
    if (focused) this.#root.querySelector(`li[data-key="${CSS.escape(focused)}"] .value`)?.focus();
  }

  /** Values of the facet, those that only the filter names, and those that could be added to these. */
  #valuesOf(facet) {
    const values = facet.values.map(([value]) => value);
    const texts = new Set(values.map((value) => String(this.#inFilter(facet.field, value))));
    const q = this.#state.view.q;
    const included = includedValues(q, facet.field);
    const named = [...included, ...excludedValues(q, facet.field)].filter((text) => !texts.has(text));
    for (const text of named) texts.add(text);
    const others = included.length ? (this.#choices.get(facet.field) ?? []) : [];
    return [...values, ...named, ...others.filter((value) => !texts.has(String(this.#inFilter(facet.field, value))))];
  }

  #facet(facet) {
    const values = this.#valuesOf(facet);
    const folded = this.#folded.get(facet.field) ?? isScattered(facet);
    const shown = folded ? [] : this.#open.has(facet.field) ? values : values.slice(0, SHOWN);
    const hidden = folded ? 0 : values.length - shown.length;
    const beyond = Math.max(0, facet.distinct - facet.values.length);
    const note = facet.exact ? "" : `counted in the newest ${counted(facet.of, "event")} that match`;
    return el("section", { class: "facet", data: { field: facet.field }, "aria-label": line(facet.field) },
      el("h2", { title: note }, el("button", { type: "button", class: "fold", "aria-expanded": String(!folded), data: { fold: facet.field } },
        el("span", { class: "name" }, line(facet.field)), el("span", { class: "dim" }, beyond ? `${short(facet.distinct)} values` : facet.exact ? "" : "sample"))),
      el("ul", {}, ...shown.map((value) => this.#value(facet.field, value))),
      hidden > 0 && el("button", { type: "button", class: "link more", data: { more: facet.field } }, `${hidden} more`),
    );
  }

  #value(field, value) {
    const key = keyFor(field, value);
    const state = stateOf(this.#state.view.q, field, this.#inFilter(field, value));
    const text = value === null ? "missing" : value === "" ? "empty" : line(typeof value === "object" ? JSON.stringify(value) : value);
    const isLevel = field === "level";
    return el("li", { data: { key } },
      el("button", {
        type: "button", class: "value", title: `${text}\nclick: only these\nshift-click: not these`,
        "aria-pressed": String(state === "include"), data: { field, value: String(value), ...(state === "exclude" ? { excluded: "" } : {}) },
      },
        el("span", { class: "share", "aria-hidden": "true" }),
        el("span", { class: `name${value === null || value === "" ? " none" : ""}` }, isLevel && el("i", { class: "swatch", data: { kind: this.#levels.kind(String(value)) } }), text),
        el("span", { class: "count" }),
      ),
      el("button", { type: "button", class: "icon exclude", tabindex: -1, "aria-label": `Exclude ${text}`, title: "not these" }, state === "exclude" ? "+" : "−"),
    );
  }

  #inFilter(field, value) {
    return field === "level" && typeof value === "string" ? this.#levels.inFilter(value) : value;
  }

  #recount() {
    for (const section of this.#root.querySelectorAll(".facet")) {
      const items = [...section.querySelectorAll("li")];
      const many = items.map((item) => this.#counts.get(item.dataset.key) ?? 0);
      const most = Math.max(1, ...many);
      items.forEach((item, at) => {
        const [share, , number] = item.firstChild.children;
        setText(number, many[at] ? brief(many[at]) : "");
        number.title = count(many[at]);
        share.style.width = `${(many[at] / most) * 100}%`;
      });
    }
  }

  #clicked(event) {
    const fold = event.target.closest("[data-fold]");
    if (fold) {
      this.#folded.set(fold.dataset.fold, fold.getAttribute("aria-expanded") === "true");
      this.refresh();
      this.#root.querySelector(`[data-fold="${CSS.escape(fold.dataset.fold)}"]`)?.focus();
      return;
    }
    const more = event.target.closest("[data-more]");
    if (more) {
      this.#open.add(more.dataset.more);
      this.refresh();
      return;
    }
    const item = event.target.closest("li");
    if (item && event.target.closest("button")) this.#choose(item, event.shiftKey || Boolean(event.target.closest(".exclude")));
  }

  #key(event) {
    const item = event.target.closest("li");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    if ((event.key === "Enter" && event.shiftKey) || event.key === "-") this.#choose(item, true);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") this.#step(item, event.key === "ArrowDown" ? 1 : -1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #step(item, by) {
    const all = [...this.#root.querySelectorAll("li")];
    all[all.indexOf(item) + by]?.firstChild.focus();
  }

  #choose(item, exclude) {
    const [field, value] = JSON.parse(item.dataset.key);
    const filter = (exclude ? toggleExclude : toggleInclude)(this.#state.view.q, field, this.#inFilter(field, value));
    this.dispatchEvent(new CustomEvent("filter", { detail: filter }));
  }
}

/** Whether a field has so many values that the most frequent ones say little, as durations do. */
function isScattered({ values, distinct, of }) {
  const counted = values.reduce((sum, [, many]) => sum + many, 0);
  return distinct > SCATTERED && counted < of / 5;
}

function keyFor(field, value) {
  return JSON.stringify([field, value]);
}
