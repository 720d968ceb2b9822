/** What a click into the histogram asks: to go there, to zoom, or to set a mark. */

import { el } from "./dom.js";
import { iso, line, stamp } from "./format.js";
import { closeBox, openBox } from "./popover.js";

const NEAR = 0.006; // of the range

/**
 * @param {HTMLElement} root the histogram
 * @param {{start: number, end: number, time: number, x: number}} place
 * @param {{state: import("./state.js").State, marks: import("./marks.js").Marks, range: import("./timerange.js").TimeRange, goTo: (time: number) => void}} shared
 */
export function openMarkBox(root, { start, end, time, x }, { state, marks, range, goTo }) {
  const anchor = el("span", { class: "anchor", style: { left: `${x}px` } });
  root.append(anchor);
  const name = el("input", { type: "text", id: "mark-name", placeholder: "what happened, as deploy 1.4", maxlength: 80, "aria-label": "Name of the mark" });
  const add = (event) => {
    event.preventDefault();
    marks.add(time, name.value.trim() || `mark ${stamp(time, state.view.tz).slice(11, 19)}`);
    closeBox(box);
  };
  const span = Math.max(end - start, 1) * root.clientWidth * NEAR;
  const near = marks.all.filter((mark) => mark.own && Math.abs(mark.time - time) <= span);
  const box = openBox(anchor, { class: "mark-box", id: "mark-box", label: "This time" },
    el("h3", {}, stamp(time, state.view.tz).slice(0, 23)),
    el("form", { onsubmit: add }, name, el("button", { type: "submit", class: "strong" }, "Mark")),
    el("div", { class: "choices" },
      el("button", { type: "button", id: "mark-go", onclick: () => { closeBox(box); goTo(start); } }, "Show its events"),
      el("button", { type: "button", id: "mark-zoom", onclick: () => { closeBox(box); range.zoom(start, end); } }, "Zoom in"),
      el("button", { type: "button", id: "mark-since", onclick: () => { closeBox(box); state.set({ tab: "errors", since: iso(Math.round(time)) }); } }, "New errors since"),
      ...near.map((mark) => el("button", { type: "button", onclick: () => { closeBox(box); marks.remove(mark); } }, `Remove “${line(mark.text)}”`)),
    ));
  box.addEventListener("toggle", () => anchor.remove(), { once: false });
}
