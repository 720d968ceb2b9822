/** Numbers, times and texts as a person reads them. */

const MINUTE = 60, HOUR = 3600, DAY = 86_400;
const NUMBER = new Intl.NumberFormat("en");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** @typedef {"local"|"utc"} Zone */

/** @param {number|null|undefined} n @returns {string} `12,345` */
export function count(n) {
  return n === null || n === undefined ? "–" : NUMBER.format(n);
}

/** @param {number} n @param {string} one @param {string} [many] @returns {string} `1 event`, `12,345 events` */
export function counted(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** @param {number} n @returns {string} `1.2k`, `34M` */
export function short(n) {
  if (n < 1000) return Number.isInteger(n) ? String(n) : n.toPrecision(3);
  const units = ["k", "M", "G", "T"];
  let at = -1;
  while (n >= 999.5 && at < units.length - 1) {
    n /= 1000;
    at += 1;
  }
  return `${n < 99.5 ? Number(n.toPrecision(2)) : Math.round(n)}${units[at]}`;
}

/** All digits, as long as they are few. @param {number} n @returns {string} `12,345`, `1.2M` */
export function brief(n) {
  return n < 100_000 ? count(n) : short(n);
}

/** @param {number} share from 0 to 1 @returns {string} */
export function percent(share) {
  const value = share * 100;
  return `${value >= 10 || value === 0 ? Math.round(value) : value >= 0.1 ? value.toFixed(1) : "<0.1"}%`;
}

/** @param {number} n @returns {string} `64 kB` */
export function bytes(n) {
  return n < 1000 ? `${n} B` : `${short(n).replace("k", " k").replace("M", " M").replace("G", " G")}B`;
}

/** @param {number} seconds @returns {string} `4 ms`, `12 s`, `3 min`, `2 h 10 min` */
export function duration(seconds) {
  if (seconds < 0.001 && seconds > 0) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < MINUTE) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  if (seconds < HOUR) return joined(seconds, MINUTE, "min", 1, "s");
  if (seconds < DAY) return joined(seconds, HOUR, "h", MINUTE, "min");
  return joined(seconds, DAY, "d", HOUR, "h");
}

function joined(seconds, large, largeName, small, smallName) {
  const units = Math.floor(seconds / large);
  const rest = Math.floor((seconds - units * large) / small);
  return rest && units < 10 ? `${units} ${largeName} ${rest} ${smallName}` : `${units} ${largeName}`;
}

/** @param {number} us @param {number} [now] @returns {string} `12 s ago` */
export function ago(us, now = Date.now() * 1000) {
  const seconds = (now - us) / 1e6;
  if (Math.abs(seconds) < 1) return "now";
  return seconds < 0 ? `in ${unit(-seconds)}` : `${unit(seconds)} ago`;
}

function unit(seconds) {
  if (seconds < MINUTE) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < 2 * DAY) return `${Math.floor(seconds / HOUR)} h`;
  return `${Math.floor(seconds / DAY)} d`;
}

/** The parts of a time. @param {number} us @param {Zone} zone */
export function parts(us, zone) {
  const date = new Date(Math.floor(us / 1000));
  const utc = zone === "utc";
  return {
    year: utc ? date.getUTCFullYear() : date.getFullYear(),
    month: (utc ? date.getUTCMonth() : date.getMonth()) + 1,
    day: utc ? date.getUTCDate() : date.getDate(),
    hour: utc ? date.getUTCHours() : date.getHours(),
    minute: utc ? date.getUTCMinutes() : date.getMinutes(),
    second: utc ? date.getUTCSeconds() : date.getSeconds(),
    micro: ((us % 1e6) + 1e6) % 1e6,
  };
}

/** @param {number} us @param {Zone} zone @returns {string} `10:15:20.123` */
export function clock(us, zone) {
  const at = parts(us, zone);
  return `${pad(at.hour)}:${pad(at.minute)}:${pad(at.second)}.${pad(Math.floor(at.micro / 1000), 3)}`;
}

/** @param {number} us @param {Zone} zone @returns {string} `2026-11-21` */
export function day(us, zone) {
  const at = parts(us, zone);
  return `${pad(at.year, 4)}-${pad(at.month)}-${pad(at.day)}`;
}

/** All of a time, as one writes it into a field. @param {number} us @param {Zone} zone @returns {string} `2026-11-21 10:15:20.123456` */
export function stamp(us, zone) {
  const at = parts(us, zone);
  const fraction = at.micro ? `.${pad(at.micro, 6).replace(/(000)$/, "")}` : "";
  return `${day(us, zone)} ${pad(at.hour)}:${pad(at.minute)}:${pad(at.second)}${fraction}`;
}

/** A time as short as a range of that length allows. @param {number} us @param {Zone} zone @param {number} range microseconds */
export function tick(us, zone, range) {
  const at = parts(us, zone);
  const date = `${at.day} ${MONTHS[at.month - 1]}`;
  const minutes = `${pad(at.hour)}:${pad(at.minute)}`;
  if (range > 300 * DAY * 1e6) return `${date} ${at.year}`;
  if (range > 3 * DAY * 1e6) return date;
  if (range > DAY * 1e6) return `${date} ${minutes}`;
  if (range > 600e6) return minutes;
  if (range > 5e6) return `${minutes}:${pad(at.second)}`;
  return clock(us, zone);
}

/** The name of a zone. @param {Zone} zone @returns {string} */
export function zoneName(zone) {
  if (zone === "utc") return "UTC";
  const minutes = -new Date().getTimezoneOffset();
  if (!minutes) return "local (UTC+0)";
  const size = Math.abs(minutes);
  const rest = size % 60 ? `:${pad(size % 60)}` : "";
  return `local (UTC${minutes < 0 ? "−" : "+"}${Math.floor(size / 60)}${rest})`;
}

/** ISO 8601 in UTC, with microseconds where there are any. @param {number} us @returns {string} */
export function iso(us) {
  return `${stamp(us, "utc").replace(" ", "T")}Z`;
}

function pad(n, width = 2) {
  return String(n).padStart(width, "0");
}

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const KEPT_IN_BLOCK = new Set(["\n", "\t"]);

/** A text of one line in which nothing is hidden: controls, and what turns the direction, are shown. @param {unknown} text */
export function line(text) {
  return String(text).replace(HIDDEN, shown);
}

/** The same for a text with line breaks and tabs. @param {unknown} text */
export function block(text) {
  return String(text).replace(/\r\n/g, "\n").replace(HIDDEN, (character) => (KEPT_IN_BLOCK.has(character) ? character : shown(character)));
}

/** A character as Python writes it. */
function shown(character) {
  const code = character.codePointAt(0);
  if (character === "\n") return "↵";
  if (character === "\t") return "  ";
  if (code < 0x100) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

function hex(code, width) {
  return code.toString(16).padStart(width, "0");
}
