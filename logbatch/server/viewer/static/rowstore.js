/**
 * The rows of a view, wherever they are.
 *
 * A row has a place: -1 is the newest of the snapshot that the view was opened on, -2 the one
 * before, and 0, 1, 2 … are those that came live after it.  So a place never changes, whatever
 * comes, and however many there turn out to be.
 */

/** Rows that are asked for at once; the first page has as many. */
export const CHUNK = 200;
const KEPT = 150; // chunks that are remembered
const ASKED = 2; // requests under way at the same time
const PATIENCE = 10_000; // milliseconds after which a request that nobody answered is made again
const RETRY = 50; // milliseconds after which somebody who waits for a row looks again
const LIVE_ROWS = 50_000, LIVE_TEXT = 30_000_000; // what is kept of live rows: rows, characters

/** @typedef {{producer: string, sequence: number, timestamp: number, level: string, levelno: number} & Record<string, any>} Row */

/** Dispatches `change` when rows came, and `hole` when live rows are wanted that were not kept. */
export class RowStore extends EventTarget {
  #ask;
  /** @type {Map<number, Row[]>} newest first, by number of chunk */
  #chunks = new Map();
  /** @type {Row[]} */
  #live = [];
  #liveText = 0;
  #gone = 0; // live rows that are no longer kept
  #asked = new Map();
  #known = 0;
  #total = null;
  #more = false;

  /** @param {(offset: number, count: number) => boolean} ask Asks the server for rows, which come to `page`. */
  constructor(ask) {
    super();
    this.#ask = ask;
  }

  /** The place of the oldest row that is known to be there. */
  get first() {
    return -this.size;
  }

  /** The place behind the newest row. */
  get end() {
    return this.#gone + this.#live.length;
  }

  /** Rows of the snapshot, as far as they are known. */
  get size() {
    return this.#total ?? this.#known;
  }

  /** Whether the number of rows is final. */
  get isCounted() {
    return this.#total !== null;
  }

  /** Whether as many live rows are kept as there is room for. */
  get isFull() {
    return this.#live.length >= LIVE_ROWS || this.#liveText >= LIVE_TEXT;
  }

  /** Begin anew with the first page. @param {{count: number, rows: object, more: boolean, total: number|null}} message */
  reset(message) {
    this.#chunks.clear();
    this.#asked.clear();
    this.#live = [];
    this.#liveText = this.#gone = 0;
    const rows = toRows(message.rows).reverse();
    this.#known = rows.length;
    this.#more = message.more;
    this.#total = message.total ?? (message.more ? null : rows.length);
    this.#put(0, rows);
    this.#changed();
  }

  /** Learn how many there are. @param {number} total */
  count(total) {
    this.#total = Math.max(total, this.#known);
    this.#changed();
  }

  /** Take a page that was asked for. @param {{offset: number, rows: object}} message */
  page(message) {
    const rows = toRows(message.rows).reverse();
    this.#asked.delete(message.offset / CHUNK);
    this.#put(message.offset, rows);
    this.#known = Math.max(this.#known, message.offset + rows.length);
    if (rows.length < CHUNK) this.#more = false;
    this.#changed();
  }

  /**
   * Take live rows.
   * @param {object} columns
   * @param {boolean} forgets whether others go for want of room; else these are not kept
   */
  append(columns, forgets) {
    if (this.isFull && forgets) this.#forget();
    if (this.isFull) return;
    for (const row of toRows(columns)) {
      this.#live.push(row);
      this.#liveText += sizeOf(row);
    }
    this.#changed();
  }

  #forget() {
    const gone = this.#live.splice(0, Math.ceil(this.#live.length / 2));
    this.#gone += gone.length;
    this.#liveText -= gone.reduce((sum, row) => sum + sizeOf(row), 0);
  }

  /** Return a row, or undefined while it is not here. @param {number} place @returns {Row|undefined} */
  at(place) {
    if (place >= 0) return this.#live[place - this.#gone];
    const offset = -1 - place;
    return this.#chunks.get(Math.floor(offset / CHUNK))?.[offset % CHUNK];
  }

  /** Return the place of a row among those that are here, or null. @param {string} key `producer:sequence` */
  find(key) {
    const live = this.#live.findIndex((row) => keyOf(row) === key);
    if (live >= 0) return this.#gone + live;
    for (const [number, rows] of this.#chunks) {
      const at = rows.findIndex((row) => keyOf(row) === key);
      if (at >= 0) return -1 - (number * CHUNK + at);
    }
    return null;
  }

  /** Return a row of the snapshot once it is here; undefined where it does not come. @param {number} place @returns {Promise<Row|undefined>} */
  async load(place) {
    const until = performance.now() + PATIENCE;
    while (this.at(place) === undefined && performance.now() < until) {
      this.want(place, place + 1);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, RETRY);
        this.addEventListener("change", () => resolve(clearTimeout(timer)), { once: true });
      });
    }
    return this.at(place);
  }

  /** See to it that the rows from one place to before another come, and others do not get in their way. @param {number} from @param {number} to */
  want(from, to) {
    if (from < this.#gone && to > 0 && this.#gone) this.dispatchEvent(new Event("hole"));
    const room = this.#total ?? this.#known + (this.#more ? CHUNK : 0);
    const newest = Math.max(0, -to);
    const oldest = Math.min(room, -from) - 1;
    for (let number = Math.floor(newest / CHUNK); number * CHUNK <= oldest; number += 1) this.#wantChunk(number);
  }

  #wantChunk(number) {
    const rows = this.#chunks.get(number);
    if (rows) {
      this.#chunks.delete(number); // the ones used last stand last
      this.#chunks.set(number, rows);
      return;
    }
    const now = performance.now();
    for (const [other, since] of this.#asked) if (now - since > PATIENCE) this.#asked.delete(other);
    if (this.#asked.has(number) || this.#asked.size >= ASKED) return;
    if (!this.#ask(number * CHUNK, CHUNK)) return;
    this.#asked.set(number, now);
    setTimeout(() => this.#asked.get(number) === now && this.#changed(), PATIENCE + 1);
  }

  #put(offset, rows) {
    for (let at = 0; at < rows.length; at += CHUNK) {
      this.#chunks.set((offset + at) / CHUNK, rows.slice(at, at + CHUNK));
    }
    for (const number of this.#chunks.keys()) {
      if (this.#chunks.size <= KEPT) break;
      if (number !== 0) this.#chunks.delete(number);
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function sizeOf(row) {
  return String(row.message ?? "").length;
}

/** @param {Row} row @returns {string} */
export function keyOf(row) {
  return `${row.producer}:${row.sequence}`;
}

/** Turn columns into rows. @param {Record<string, any[]>} columns @returns {Row[]} */
export function toRows(columns) {
  const names = Object.keys(columns);
  const rows = Array.from(columns[names[0]] ?? [], () => ({}));
  for (const name of names) {
    const values = columns[name];
    for (let at = 0; at < rows.length; at += 1) rows[at][name] = values[at];
  }
  return rows;
}
