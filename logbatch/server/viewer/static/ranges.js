/** Two ranges of time that are compared: both sides of a moment, or any two. */

import { el } from "./dom.js";
import { iso, stamp } from "./format.js";
import { closeBox, openBox } from "./popover.js";
import { isRelative, parseIso, resolveTime } from "./state.js";

/**
 * What to ask the server for.  A moment compares what came since with as long a time before it.
 * @param {string} text a time, or `FROM/TO/FROM/TO`
 * @param {number|null} end of the view
 * @returns {{before: string, after: string}|{}}
 */
export function readRanges(text, end) {
  const now = Date.now() * 1000;
  const times = text.split("/").map((part) => resolveTime(part, now));
  if (times.length === 4 && times.every((time) => time !== null)) return { before: `${times[0]},${times[1]}`, after: `${times[2]},${times[3]}` };
  const [since] = times;
  if (since === null) return {};
  const last = end ?? now;
  return { before: `${Math.round(2 * since - last)},${since}`, after: `${since},${last}` };
}

/** Ask for two ranges. @param {Element} anchor @param {import("./state.js").State} state */
export function openRanges(anchor, state) {
  const { before, tz } = state.view;
  const given = before.split("/").length === 4 ? before.split("/") : ["-2h", "-1h", "-1h", "-0s"];
  const fields = given.map((text, at) => {
    const time = isRelative(text) ? null : resolveTime(text);
    return el("input", { type: "text", id: `ranges-${at}`, value: time === null ? text : stamp(time, tz), spellcheck: "false", "aria-label": ["Before: from", "Before: to", "After: from", "After: to"][at] });
  });
  const problem = el("p", { class: "problem", role: "alert" });
  const apply = (event) => {
    event.preventDefault();
    const read = fields.map((field) => readTime(field.value.trim(), tz));
    if (read.includes(null)) {
      problem.textContent = "Write a time as 2026-11-21 10:15, or -15m for 15 minutes ago.";
      return;
    }
    closeBox(box);
    state.set({ before: read.join("/") });
  };
  const box = openBox(anchor, { class: "ranges-box", label: "Two ranges of time" },
    el("form", { onsubmit: apply },
      el("h3", {}, "before"), fields[0], fields[1],
      el("h3", {}, "after"), fields[2], fields[3],
      problem, el("button", { type: "submit", class: "strong" }, "Compare")));
}

function readTime(text, zone) {
  if (isRelative(text)) return text;
  const at = parseIso(text, zone);
  return at === null ? null : iso(at);
}
