/** The help: keys, and the language of filters in short. */

import { byId, el } from "./dom.js";

const KEYS = [
  [["/"], "filter"],
  [["j", "k"], "next and previous event; also ↓ ↑, PageDown, PageUp, Home, End"],
  [["Enter"], "open the event"],
  [["Esc"], "close"],
  [["f"], "follow the newest, or stop"],
  [["z"], "a wider range of time"],
  [["m"], "mark this time"],
  [["c"], "context of the open event"],
  [["t"], "relative or absolute times"],
  [["1", "…", "6"], "Events, Errors, Patterns, Pipeline, Runs, SQL"],
  [["?"], "this help"],
];
const FILTERS = [
  ["level>=WARNING", "levels by their number"],
  ["logger=app.web", "that logger and those below it"],
  ["user_id=42,43  status!=200", "any column or attribute"],
  ["path~items  path~/^.api/", "contains; matches a regular expression"],
  ["timeout  \"asked for\"", "text in the message"],
  ["a b   a or b   -a   (a or b) c", "both, either, not, together"],
];

/** Open the help. */
export function openHelp() {
  const close = () => dialog.close();
  const dialog = el("dialog", { id: "help", "aria-labelledby": "help-title" },
    el("div", { class: "top" }, el("h2", { id: "help-title" }, "Keys"), el("span", { class: "space" }), el("button", { type: "button", class: "icon quiet", "aria-label": "Close", onclick: close }, "×")),
    el("dl", { class: "help" }, ...KEYS.flatMap(([keys, text]) => [el("dt", {}, ...keys.map((key) => (key === "…" ? key : el("kbd", {}, key)))), el("dd", {}, text)])),
    el("p", {}, "In the histogram: drag to zoom, click to mark; by keys ← →, with Shift a range, Enter zooms. In the facets: Enter only these, Shift Enter or - not these."),
    el("h2", {}, "Filters"),
    el("dl", { class: "help" }, ...FILTERS.flatMap(([term, text]) => [el("dt", {}, el("code", {}, term)), el("dd", {}, text)])));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  byId("main").append(dialog);
  dialog.showModal();
}
