/** The filter: a line of text with completion, and mistakes shown where they are. */

import { ask, toIndex, toPosition } from "./api.js";
import { byId, el, replace } from "./dom.js";
import { line } from "./format.js";

const PAUSE = 70; // milliseconds after a key before completions are asked for
const STORED = "logbatch.filters";
const REMEMBERED = 12;

/** Dispatches `filter` (detail: the text) when one is to be applied. */
export class FilterBox extends EventTarget {
  #input = /** @type {HTMLInputElement} */ (byId("filter"));
  #list = byId("completions");
  #error = byId("filter-error");
  #clear = byId("filter-clear");
  #found = { from: 0, to: 0, words: [] };
  #selected = -1;
  #asked = 0;
  #timer = 0;

  constructor() {
    super();
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply();
    });
    this.#input.addEventListener("input", () => this.#typed());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("focus", () => this.#input.value || this.#offer(remembered()));
    this.#input.addEventListener("blur", () => this.#close());
    this.#clear.addEventListener("click", () => {
      this.#input.value = "";
      this.#apply();
      this.#input.focus();
    });
    this.#list.addEventListener("pointerdown", (event) => this.#picked(event));
  }

  /** Show a filter that was set elsewhere. @param {string} text */
  set(text) {
    if (this.#input.value !== text) this.#input.value = text;
    this.#clear.hidden = !text;
    this.fine();
  }

  /** Put the cursor into it. */
  focus() {
    this.#input.focus();
    this.#input.select();
  }

  /** Say what is wrong with the filter that was applied. @param {string} message @param {number|null} position in characters */
  fail(message, position) {
    const text = this.#input.value;
    const place = [];
    if (position !== null && position !== undefined && text) {
      const at = toIndex(text, position);
      const end = at + (/^[^\s()]+/.exec(text.slice(at))?.[0].length ?? 1);
      place.push(el("code", {}, line(text.slice(0, at)), el("mark", {}, line(text.slice(at, end)) || "␣"), line(text.slice(end))), el("br"));
    }
    replace(this.#error, ...place, message);
    this.#error.hidden = false;
    this.#input.setAttribute("aria-invalid", "true");
  }

  /** The filter has no mistake. */
  fine() {
    this.#error.hidden = true;
    this.#error.textContent = "";
    this.#input.removeAttribute("aria-invalid");
  }

  #apply() {
    this.#close();
    const text = this.#input.value.trim();
    this.#clear.hidden = !text;
    if (text) remember(text);
    this.dispatchEvent(new CustomEvent("filter", { detail: text }));
  }

  #typed() {
    this.#clear.hidden = !this.#input.value;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#complete(), PAUSE);
  }

  async #complete() {
    const text = this.#input.value;
    if (!text) return this.#offer(remembered());
    this.#asked += 1;
    const mine = this.#asked;
    try {
      const at = toPosition(text, this.#input.selectionStart ?? text.length);
      const found = await ask("complete", { text, at });
      if (mine !== this.#asked || this.#input.value !== text || document.activeElement !== this.#input) return;
      this.#offer({ from: toIndex(text, found.from), to: toIndex(text, found.to), words: found.words });
    } catch {
      this.#close(); // without completions one can type as well; what is wrong with the server is said elsewhere
    }
  }

  #offer(found) {
    this.#found = { ...found, text: this.#input.value };
    this.#selected = -1;
    const items = found.words.map((word, at) =>
      el("li", { role: "option", id: `completion-${at}`, "aria-selected": "false" }, el("span", { class: "word" }, line(word.text)), el("span", { class: "what" }, line(word.what ?? ""))));
    this.#list.replaceChildren(...items);
    this.#show(items.length > 0);
  }

  #show(on) {
    this.#list.hidden = !on;
    this.#input.setAttribute("aria-expanded", String(on));
    this.#input.removeAttribute("aria-activedescendant");
  }

  #close() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.#selected = -1;
    this.#show(false);
  }

  #key(event) {
    const open = !this.#list.hidden;
    const isStale = open && this.#found.text !== this.#input.value; // made for another text
    if (isStale && event.key !== "Enter" && event.key !== "Escape") {
      if (!["ArrowDown", "ArrowUp", "Tab"].includes(event.key) || event.shiftKey) return;
      this.#complete();
    } else if (event.key === "ArrowDown" && !open) this.#complete();
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && open) this.#select(event.key === "ArrowDown" ? 1 : -1);
    else if ((event.key === "Enter" || (event.key === "Tab" && !event.shiftKey)) && open && !isStale && this.#selected >= 0) this.#accept(this.#selected);
    else if (event.key === "Tab" && open && !event.shiftKey) this.#accept(0);
    else if (event.key === "Escape" && open) this.#close();
    else if (event.key === "Escape") this.#input.blur();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #select(by) {
    const items = [...this.#list.children];
    const next = this.#selected + by;
    this.#selected = next >= items.length ? -1 : next < -1 ? items.length - 1 : next;
    items.forEach((item, at) => item.setAttribute("aria-selected", String(at === this.#selected)));
    items[this.#selected]?.scrollIntoView({ block: "nearest" });
    if (this.#selected >= 0) this.#input.setAttribute("aria-activedescendant", items[this.#selected].id);
    else this.#input.removeAttribute("aria-activedescendant");
  }

  #picked(event) {
    event.preventDefault(); // the focus stays in the box
    const item = event.target.closest("li");
    if (item) this.#accept([...this.#list.children].indexOf(item));
  }

  #accept(at) {
    const word = this.#found.words[at];
    if (!word || this.#found.text !== this.#input.value) return;
    const text = this.#input.value;
    const before = text.slice(0, this.#found.from) + word.text;
    this.#input.value = before + text.slice(this.#found.to);
    this.#input.setSelectionRange(before.length, before.length);
    this.#close();
    this.#typed();
  }
}

function remembered() {
  return { from: 0, to: Infinity, words: readStored().map((text) => ({ text, what: "recent" })) };
}

function remember(text) {
  const others = readStored().filter((other) => other !== text);
  localStorage.setItem(STORED, JSON.stringify([text, ...others].slice(0, REMEMBERED)));
}

function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORED) ?? "[]");
    return Array.isArray(stored) ? stored.filter((text) => typeof text === "string") : [];
  } catch {
    return [];
  }
}
