/** Marks in time: what the log tells of (restarts, drops, deploys), and the ones set by hand. */

/** @typedef {{time: number, kind: string, service?: string, text: string, own?: boolean}} Mark */

const MOST = 200;

/** Dispatches `change`.  Marks set by hand stay in this browser. */
export class Marks extends EventTarget {
  #key = "logbatch.marks";
  /** @type {Mark[]} */
  #own = [];
  /** @type {Mark[]} */
  #told = [];

  /** Take the marks that were set for a directory. @param {string} directory */
  open(directory) {
    this.#key = `logbatch.marks ${directory}`;
    this.#own = readMarks(this.#key);
    this.#changed();
  }

  /** All, in the order of time. @returns {Mark[]} */
  get all() {
    return [...this.#own, ...this.#told].sort((one, other) => one.time - other.time);
  }

  /** Take those that the log tells of. @param {Mark[]} marks */
  tell(marks) {
    this.#told = marks;
    this.#changed();
  }

  /** @param {number} time @param {string} text */
  add(time, text) {
    this.#own = [...this.#own, { time, kind: "mark", text, own: true }].slice(-MOST);
    this.#store();
  }

  /** @param {Mark} mark one that was set by hand */
  remove(mark) {
    this.#own = this.#own.filter((other) => other.time !== mark.time || other.text !== mark.text);
    this.#store();
  }

  #store() {
    localStorage.setItem(this.#key, JSON.stringify(this.#own));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function readMarks(key) {
  try {
    const stored = JSON.parse(localStorage.getItem(key) ?? "[]");
    const isMark = (mark) => Number.isFinite(mark?.time) && typeof mark.text === "string";
    return Array.isArray(stored) ? stored.filter(isMark).map(({ time, text }) => ({ time, text, kind: "mark", own: true })) : [];
  } catch {
    return [];
  }
}
