/** The choice of columns. */

import { el } from "./dom.js";
import { line } from "./format.js";
import { openBox } from "./popover.js";
import { DEFAULTS } from "./state.js";

const HIDDEN = new Set(["attributes", "stacktrace", "levelno"]); // the detail shows them better

/** Add a column, before the message where that stands last. @param {string[]} names @param {string} name @returns {string[]} */
export function withColumn(names, name) {
  if (names.includes(name)) return names;
  return names.at(-1) === "message" ? [...names.slice(0, -1), name, "message"] : [...names, name];
}

/**
 * Let somebody choose columns.
 * @param {Element} anchor @param {import("./state.js").State} state @param {string[]} fields those that there are
 */
export function openColumnMenu(anchor, state, fields) {
  const list = el("ul", { class: "column-list" });
  const other = el("input", { type: "text", id: "column-name", placeholder: "another field, as user.id", "aria-label": "Another field", spellcheck: "false" });
  const chosen = () => state.view.cols.split(",").filter(Boolean);
  const choose = (names) => {
    state.set({ cols: names.join(",") || DEFAULTS.cols });
    show();
  };
  const add = (event) => {
    event.preventDefault();
    const name = other.value.trim();
    if (name && !name.includes(",")) choose(withColumn(chosen(), name));
    other.value = "";
  };
  const show = () => {
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    const names = chosen();
    const rest = fields.filter((name) => !names.includes(name) && !HIDDEN.has(name));
    list.replaceChildren(...names.map((name, at) => item(name, at, names, choose)), ...rest.map((name) => item(name, -1, names, choose)));
    if (focused) list.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
  };
  show();
  openBox(anchor, { class: "column-box", id: "column-box", label: "Columns" },
    list,
    el("form", { onsubmit: add }, other),
    el("button", { type: "button", class: "link", onclick: () => choose(DEFAULTS.cols.split(",")) }, "as at first"));
}

function item(name, at, names, choose) {
  const shown = at >= 0;
  const toggle = () => choose(shown ? names.filter((other) => other !== name) : withColumn(names, name));
  const forward = () => choose([...names.slice(0, at - 1), name, names[at - 1], ...names.slice(at + 1)]);
  const id = `column-${name}`;
  return el("li", {},
    el("input", { type: "checkbox", id, data: { name }, checked: shown, onchange: toggle }),
    el("label", { for: id }, line(name)),
    at > 0 && el("button", { type: "button", class: "icon", "aria-label": `Move ${name} to the left`, title: "to the left", onclick: forward }, "↑"));
}
