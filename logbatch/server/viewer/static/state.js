/** The view: what is asked for and how it is shown, and the address that says so. */

/**
 * @typedef {object} View
 * @property {string} q the filter
 * @property {string} from `-15m`, ISO 8601 or empty
 * @property {string} to ISO 8601 or empty
 * @property {string} tab
 * @property {string} cols names of columns, with commas
 * @property {"local"|"utc"} tz
 * @property {"abs"|"rel"} time
 * @property {string} row `PRODUCER:SEQUENCE` of the event that is open, or empty
 * @property {string} around `1` where what was logged around that event is shown
 * @property {string} since what counts as new among the errors
 * @property {string} before a range to compare patterns with, `FROM,TO`
 * @property {string} error fingerprints of the errors that are unfolded, with commas
 * @property {string} only the change that alone is shown of patterns
 * @property {string} run the run that is open
 * @property {string} sql the query
 */

/** @type {View} */
export const DEFAULTS = Object.freeze({
  q: "",
  from: "",
  to: "",
  tab: "events",
  cols: "timestamp,level,logger,message",
  tz: "local",
  time: "abs",
  row: "",
  around: "",
  since: "",
  before: "",
  error: "",
  only: "",
  run: "",
  sql: "",
});

const TIMES = ["from", "to", "since", "before"]; // what is none counts as not there, and is not shown as if it held

/** Read a view from the query of an address. @param {string} query @returns {View} */
export function parseView(query) {
  const given = new URLSearchParams(query);
  const view = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) {
    const value = given.get(name);
    if (value !== null) view[name] = value;
  }
  if (!view.cols) view.cols = DEFAULTS.cols;
  for (const name of TIMES) if (!view[name].split("/").every((time) => !time || resolveTime(time) !== null)) view[name] = "";
  return view;
}

/** Return the query of an address; an empty text where nothing is special. @param {View} view */
export function formatView(view) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (view[name] !== value) query.set(name, view[name]);
  }
  const text = query.toString();
  return text ? `?${text}` : "";
}

const SCALE = { s: 1e6, m: 60e6, h: 3600e6, d: 86_400e6, w: 604_800e6 };
const RELATIVE = /^-(\d+(?:\.\d+)?)([smhdw])$/;

/** Return a time of a view in microseconds since 1970; null where there is none. @param {string} text @param {number} now */
export function resolveTime(text, now = Date.now() * 1000) {
  const found = RELATIVE.exec(text);
  if (found) return Math.round(now - Number(found[1]) * SCALE[found[2]]);
  return text ? parseIso(text) : null;
}

/** Whether a time moves with the clock. @param {string} text */
export function isRelative(text) {
  return RELATIVE.test(text);
}

const ISO = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?\s*(Z|[+-]\d{2}:?\d{2})?$/i;

/**
 * Read a date or time, of which JavaScript alone would lose the microseconds.
 * @param {string} text @param {"local"|"utc"} [zone] of a time without an offset
 * @returns {number|null} microseconds since 1970
 */
export function parseIso(text, zone = "utc") {
  const found = ISO.exec(text.trim());
  if (!found) return null;
  const [, date, minutes = "00:00", seconds = "00", fraction = "", offset] = found;
  const suffix = offset ?? (zone === "utc" ? "Z" : "");
  const at = Date.parse(`${date}T${minutes}:${seconds}${suffix.toUpperCase()}`);
  return Number.isNaN(at) ? null : at * 1000 + Number(fraction.padEnd(6, "0"));
}

/** The view that is shown.  Dispatches `change` with `detail.changed`, a set of names. */
export class State extends EventTarget {
  constructor() {
    super();
    /** @type {View} */
    this.view = parseView(location.search);
    addEventListener("popstate", () => this.#become(parseView(location.search)));
  }

  /** Change the view. @param {Partial<View>} changes @param {{replace?: boolean}} [options] `replace` leaves no step to go back to. */
  set(changes, { replace = false } = {}) {
    const isOther = "row" in changes && changes.row !== this.view.row;
    const next = { ...this.view, ...(isOther ? { around: "" } : {}), ...changes };
    const address = location.pathname + formatView(next) + location.hash;
    if (formatView(next) === formatView(this.view)) return;
    if (replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    this.#become(next);
  }

  #become(next) {
    const names = Object.keys(DEFAULTS).filter((name) => next[name] !== this.view[name]);
    this.view = next;
    if (names.length) this.dispatchEvent(new CustomEvent("change", { detail: { changed: new Set(names) } }));
  }
}
