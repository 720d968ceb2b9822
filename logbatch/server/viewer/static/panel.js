/** What the tabs beside the events have in common: they ask again when the view changes, and now and then. */

import { el, replace } from "./dom.js";

/** A tab; what it shows is made by `load`. */
export class Panel {
  #root;
  #every;
  #timer = 0;
  #asked = null;
  #shown = false;

  /**
   * @param {HTMLElement} root
   * @param {number} every milliseconds after which it asks again; 0 for never
   */
  constructor(root, every) {
    this.#root = root;
    this.#every = every;
    this.tools = el("div", { class: "tools-bar" });
    this.problem = el("p", { class: "problem", role: "alert", hidden: true });
    this.content = el("div", { class: "content", tabindex: 0 });
    root.append(this.tools, this.problem, this.content);
  }

  /** The panel's element. */
  get root() {
    return this.#root;
  }

  /** It has come to sight, or the view has changed. */
  show() {
    this.#shown = true;
    return this.refresh();
  }

  /** It has gone out of sight. */
  hide() {
    this.#shown = false;
    this.#asked?.abort();
    clearTimeout(this.#timer);
  }

  /** Ask again. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    const asked = new AbortController();
    this.#asked = asked;
    this.#root.setAttribute("aria-busy", "true");
    try {
      await this.load(asked.signal);
      this.problem.hidden = true;
    } catch (error) {
      if (asked.signal.aborted) return;
      this.fail(error);
    }
    if (this.#asked !== asked) return;
    this.#root.removeAttribute("aria-busy");
    if (this.#shown && this.#every) this.#timer = setTimeout(() => (document.hidden ? this.#wait() : this.refresh()), this.#every);
  }

  /** Say what went wrong. @param {Error} error */
  fail(error) {
    this.problem.textContent = error.message;
    this.problem.hidden = false;
  }

  /** Say that there is nothing. @param {string} text */
  empty(text) {
    replace(this.content, el("p", { class: "note" }, text));
  }

  /** Ask the server and show the answer. @param {AbortSignal} _signal @returns {Promise<void>} */
  async load(_signal) {
    throw new Error("a panel has its own");
  }

  #wait() {
    document.addEventListener("visibilitychange", () => this.#shown && this.refresh(), { once: true });
  }
}

/**
 * A choice of one among several.
 * @param {{id: string, label: string, value: string, options: [string, string][], choose: (value: string) => void}} choice
 */
export function choice({ id, label, value, options, choose }) {
  const known = options.some(([each]) => each === value);
  const all = known ? options : [...options, [value, value]];
  const select = el("select", { id, onchange: (event) => choose(event.target.value) },
    ...all.map(([each, text]) => el("option", { value: each, selected: each === value }, text)));
  return el("label", { class: "choice" }, el("span", {}, label), select);
}
