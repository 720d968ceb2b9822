/** Levels: a program may have its own, so what counts is the number. */

const KINDS = [
  [50, "critical"],
  [40, "error"],
  [30, "warning"],
  [20, "info"],
  [10, "debug"],
];

const NUMBERS = { DEBUG: 10, INFO: 20, WARNING: 30, WARN: 30, ERROR: 40, CRITICAL: 50, FATAL: 50 };

/** The kind of a level, which has a colour. @param {number|null|undefined} number @returns {string} */
export function kindOf(number) {
  return KINDS.find(([least]) => number >= least)?.[1] ?? "trace";
}

/** What is known of the numbers of levels; the rows and statistics tell of others. */
export class Levels {
  #numbers = new Map(Object.entries(NUMBERS));

  /** @param {string} name @param {number} number */
  learn(name, number) {
    this.#numbers.set(name, number);
  }

  /** @param {string} name @returns {number} */
  number(name) {
    return this.#numbers.get(name) ?? 0;
  }

  /** What a filter has for a level: only the usual ones have a name there. @param {string} name @returns {string|number} */
  inFilter(name) {
    return name in NUMBERS || !this.#numbers.has(name) ? name : this.number(name);
  }

  /** @param {string} name @returns {string} */
  kind(name) {
    return kindOf(this.number(name));
  }
}
