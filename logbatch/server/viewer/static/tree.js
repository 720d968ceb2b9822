/** A value of JSON as a tree that opens and closes. */

import { el } from "./dom.js";
import { block, counted } from "./format.js";

const AT_ONCE = 100; // members shown before "more"
const LONG = 4000; // characters of a text shown before "more"
const OPEN_DEPTH = 2;

/**
 * @param {unknown} value
 * @param {(path: string, value: unknown) => Node|null} [tools] what stands behind a single value
 * @param {string} [path] as a filter has it
 * @param {number} [depth]
 * @returns {HTMLElement}
 */
export function tree(value, tools = () => null, path = "", depth = 0) {
  if (value === null || typeof value !== "object") return leaf(value, path, tools);
  const isList = Array.isArray(value);
  const members = isList ? value.map((item, at) => [String(at), item]) : Object.entries(value);
  if (!members.length) return el("span", { class: "leaf none" }, isList ? "[ ]" : "{ }");
  const size = isList ? counted(members.length, "item") : counted(members.length, "field");
  const open = depth < OPEN_DEPTH && members.length <= 20;
  const list = el("ul", { class: "tree" });
  const make = ([key, item]) => member(key, item, isList ? null : path, tools, depth);
  show(list, members, make);
  if (depth === 0) return list;
  return el("details", { open }, el("summary", {}, size), list);
}

function show(list, members, make) {
  list.append(...members.splice(0, AT_ONCE).map(make));
  if (!members.length) return;
  const more = el("button", { type: "button", class: "link" }, `${members.length} more`);
  const item = el("li", {}, more);
  more.addEventListener("click", () => {
    item.remove();
    show(list, members, make);
  });
  list.append(item);
}

/** A list's items have no path in the filter language, nor has what is in them. */
function member(key, value, path, tools, depth) {
  const inner = path === null ? null : path ? `${path}.${key}` : key;
  const tool = inner === null ? () => null : tools;
  return el("li", {}, el("span", { class: "key" }, block(key)), tree(value, tool, inner ?? "", depth + 1));
}

function leaf(value, path, tools) {
  const kind = value === null ? "none" : typeof value;
  const shown = el("span", { class: `leaf ${kind}` });
  fillLong(shown, typeof value === "string" ? value : String(value));
  return el("span", { class: "value" }, shown, tools(path, value));
}

/** Write a text that may be very long: its beginning, and the rest when it is asked for. @param {HTMLElement} target @param {string} text @param {number} [most] */
export function fillLong(target, text, most = LONG) {
  if (text.length <= most * 1.2) {
    target.textContent = block(text);
    return;
  }
  const more = el("button", { type: "button", class: "link more" }, `… ${counted(text.length - most, "more character")}`);
  target.replaceChildren(block(text.slice(0, most)), more);
  more.addEventListener("click", () => fillLong(target, text, Math.max(most * 20, 200_000)));
}
