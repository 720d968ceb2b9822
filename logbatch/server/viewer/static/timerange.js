/** The range of time: the last so many minutes, live, or from one time to another. */

import { byId, el } from "./dom.js";
import { duration, iso, stamp, zoneName } from "./format.js";
import { closeBox, openBox } from "./popover.js";
import { isRelative, parseIso, resolveTime } from "./state.js";

const PRESETS = [
  ["", "Everything"],
  ["-1m", "Last minute"],
  ["-5m", "Last 5 minutes"],
  ["-15m", "Last 15 minutes"],
  ["-1h", "Last hour"],
  ["-6h", "Last 6 hours"],
  ["-1d", "Last 24 hours"],
  ["-7d", "Last 7 days"],
  ["-30d", "Last 30 days"],
];

/** Shows the range of a state and changes it. */
export class TimeRange {
  #state;
  #button = byId("range");
  #covered = null;

  /** @param {import("./state.js").State} state */
  constructor(state) {
    this.#state = state;
    this.#button.addEventListener("click", () => this.#open());
    byId("zoom-out").addEventListener("click", () => this.widen());
    state.addEventListener("change", () => this.refresh());
    this.refresh();
  }

  /** Learn what the histogram covers, for who wants more than it. @param {{start: number, end: number}|null} covered */
  cover(covered) {
    this.#covered = covered;
  }

  /** Say which range it is. */
  refresh() {
    this.#button.textContent = describe(this.#state.view);
    byId("zoom-out").disabled = !this.#state.view.from && !this.#state.view.to;
  }

  /** Set a range. @param {number} start @param {number} end microseconds since 1970 */
  zoom(start, end) {
    this.#state.set({ from: iso(Math.round(start)), to: iso(Math.round(end)), row: "" });
  }

  /** Show twice as long a range. */
  widen() {
    const { from, to } = this.#state.view;
    if (!from && !to) return;
    const now = Date.now() * 1000;
    const start = resolveTime(from, now) ?? this.#covered?.start ?? now - 3600e6;
    const end = resolveTime(to, now) ?? now;
    const half = Math.max(1e6, (end - start) / 2);
    if (to && end + half < now) this.zoom(start - half, end + half);
    else this.#state.set({ from: to ? iso(Math.round(start - 2 * half)) : wider(start - 2 * half, now), to: "", row: "" });
  }

  #open() {
    const { from, to, tz } = this.#state.view;
    const fromField = el("input", { type: "text", id: "range-from", value: shownTime(from, tz), placeholder: "the oldest", spellcheck: "false" });
    const toField = el("input", { type: "text", id: "range-to", value: shownTime(to, tz), placeholder: "now, live", spellcheck: "false" });
    const problem = el("p", { class: "problem", role: "alert", id: "range-error" });
    const apply = (event) => {
      event.preventDefault();
      const found = [fromField, toField].map((field) => readTime(field.value, tz));
      if (found.includes(null)) problem.textContent = "Write a time as 2026-11-21 10:15, or -15m for 15 minutes ago.";
      else if (found.every(Boolean) && resolveTime(found[0]) >= resolveTime(found[1])) problem.textContent = "The range ends before it begins.";
      else this.#choose(box, { from: found[0], to: found[1] });
    };
    const presets = PRESETS.map(([value, label]) =>
      el("button", { type: "button", "aria-pressed": String(from === value && !to), data: { from: value }, onclick: () => this.#choose(box, { from: value, to: "" }) }, label));
    const box = openBox(this.#button, { class: "range-box", id: "range-box", label: "Range of time" },
      el("div", { class: "presets" }, ...presets),
      el("form", { onsubmit: apply },
        el("label", { for: "range-from" }, "From"), fromField,
        el("label", { for: "range-to" }, "To"), toField,
        problem,
        el("p", { class: "dim" }, `${zoneName(tz)}; -15m, -2h or -3d is so long ago`),
        el("button", { type: "submit", class: "strong", id: "range-apply" }, "Apply"),
      ));
  }

  #choose(box, range) {
    closeBox(box);
    this.#state.set({ ...range, row: "" });
  }
}

/** A range in words. @param {import("./state.js").View} view */
export function describe({ from, to, tz }) {
  if (!from && !to) return "Everything, live";
  const preset = PRESETS.find(([value]) => value === from);
  if (!to && preset) return `${preset[1]}, live`;
  if (!to && isRelative(from)) return `Last ${from.slice(1)}, live`;
  const start = resolveTime(from);
  const end = resolveTime(to);
  if (end === null) return `Since ${shortStamp(start, tz)}, live`;
  if (start === null) return `Until ${shortStamp(end, tz)}`;
  const sameDay = stamp(start, tz).slice(0, 10) === stamp(end, tz).slice(0, 10);
  const last = sameDay ? shortStamp(end, tz).slice(11) || "00:00" : shortStamp(end, tz);
  return `${shortStamp(start, tz)} – ${last} (${duration((end - start) / 1e6)})`;
}

function shortStamp(us, zone) {
  return us === null ? "?" : stamp(us, zone).replace(/(:\d\d)\.\d+$/, "$1");
}

function shownTime(text, zone) {
  const at = text && !isRelative(text) ? resolveTime(text) : null;
  return at === null ? text : stamp(at, zone);
}

/** What the address says for a time that was typed; null where it is none. */
function readTime(text, zone) {
  const typed = text.trim();
  if (!typed || typed === "now") return "";
  if (isRelative(typed)) return typed;
  if (isRelative(`-${typed}`)) return `-${typed}`;
  const at = parseIso(typed, zone);
  return at === null ? null : iso(at);
}

function wider(start, now) {
  const minutes = Math.max(1, Math.round((now - start) / 60e6));
  return minutes < 120 ? `-${minutes}m` : `-${Math.round(minutes / 60)}h`;
}
