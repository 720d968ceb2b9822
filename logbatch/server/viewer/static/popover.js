/** Boxes and menus above the page: one at a time, closed by Escape or a click elsewhere. */

import { byId, el, placeBelow } from "./dom.js";

/**
 * Open a box beside an element.
 * @param {Element} anchor @param {{class?: string, id?: string, role?: string, label: string}} options @param {...Node} children
 * @returns {HTMLElement}
 */
export function openBox(anchor, { class: name = "", id, role = "dialog", label }, ...children) {
  const box = el("div", { class: `popover ${name}`, id, role, "aria-label": label, popover: "auto" }, ...children);
  byId("main").append(box); // inside of a landmark
  box.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    const inside = box.contains(document.activeElement) || document.activeElement === document.body;
    box.remove();
    if (inside && anchor instanceof HTMLElement) anchor.focus();
  });
  box.showPopover();
  placeBelow(box, anchor);
  box.querySelector("[autofocus], input, button, a")?.focus();
  return box;
}

/** Close the box that an element is in. @param {Element} element */
export function closeBox(element) {
  element.closest(".popover")?.hidePopover();
}

/**
 * Open a menu beside a button.
 * @param {Element} anchor @param {string} label
 * @param {({id?: string, text: string, hint?: string, href?: string, download?: boolean, act?: () => void} | null)[]} items null is a line between them
 */
export function openMenu(anchor, label, items) {
  const made = items.map((item) => (item ? menuItem(item) : el("hr")));
  const menu = openBox(anchor, { class: "menu", role: "menu", label }, ...made);
  menu.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const all = [...menu.querySelectorAll("[role=menuitem]")];
    all[(all.indexOf(document.activeElement) + by + all.length) % all.length].focus();
  });
}

function menuItem({ id, text, hint, href, download, act }) {
  const close = (event) => {
    const target = event.currentTarget;
    setTimeout(() => closeBox(target));
    act?.();
  };
  const inside = [el("span", {}, text), hint && el("span", { class: "dim" }, hint)];
  if (href) return el("a", { id, role: "menuitem", href, download: Boolean(download), onclick: close }, ...inside);
  return el("button", { id, type: "button", role: "menuitem", onclick: close }, ...inside);
}
