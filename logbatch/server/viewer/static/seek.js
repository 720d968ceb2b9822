/** Finds the place of a time in the list, by a few pages instead of all. */

import { sum } from "./paint.js";
import { CHUNK, keyOf } from "./rowstore.js";

const TRIES = 24;

/**
 * Return the place of the first row at or after a time.
 * @param {import("./rowstore.js").RowStore} store whose rows are counted
 * @param {{start: number, width: number, counts: number[][]}|null} histogram of the store's snapshot
 * @param {number} time
 * @returns {Promise<number>}
 */
export async function seek(store, histogram, time) {
  let [low, high] = await checked(store, bounds(store, histogram, time), time);
  let share = 0.5;
  for (let tries = 0; tries < TRIES && low < high; tries += 1) {
    const middle = Math.min(high - 1, Math.max(low, Math.floor(low + (high - low) * share)));
    const row = await store.load(middle);
    if (!row) break;
    const older = row.timestamp < time;
    if (older) low = middle + 1;
    else high = middle;
    [low, high] = narrow(store, low, high, time);
    share = share === 0.5 ? guess(store, low, high, time) : 0.5;
  }
  return Math.min(low, Math.max(store.first, store.end - 1));
}

/**
 * Return the place of a row, given when it was; null where the list has it not.
 * @param {import("./rowstore.js").RowStore} store
 * @param {{start: number, width: number, counts: number[][]}|null} histogram
 * @param {string} key
 * @param {number} time
 */
export async function seekRow(store, histogram, key, time) {
  const known = store.find(key);
  if (known !== null) return known;
  const from = await seek(store, histogram, time);
  for (let place = from; place < Math.min(0, from + CHUNK); place += 1) {
    const row = await store.load(place);
    if (!row || row.timestamp > time) return null;
    if (keyOf(row) === key) return place;
  }
  return null;
}

/** The rows of the bar that the time is in, with those at its edges. */
function bounds(store, histogram, time) {
  if (!histogram?.counts.length) return [store.first, 0];
  const counts = histogram.counts.map(sum);
  const bin = Math.floor((time - histogram.start) / histogram.width);
  const newer = counts.slice(Math.max(0, bin + 1)).reduce((all, many) => all + many, 0);
  const within = counts[bin] ?? 0;
  return [Math.max(store.first, -newer - within - 1), Math.min(0, -newer + 1)];
}

/** Bounds that are true, also where bars and rows were not counted at the same time. */
async function checked(store, [low, high], time) {
  const [lowest, highest] = [await store.load(low), high < 0 ? await store.load(high) : null];
  return [lowest && lowest.timestamp >= time ? store.first : low, highest && highest.timestamp < time ? 0 : high];
}

/** Use what is here already: rows of the same page. */
function narrow(store, low, high, time) {
  for (let step = CHUNK; step >= 1; step = Math.floor(step / 2)) {
    const up = store.at(low + step);
    if (up && low + step < high && up.timestamp < time) low += step + 1;
    const down = store.at(high - step);
    if (down && high - step > low && down.timestamp >= time) high -= step;
  }
  return [low, high];
}

/** Where the time should be, if rows came evenly. */
function guess(store, low, high, time) {
  const from = store.at(low - 1)?.timestamp;
  const to = store.at(high)?.timestamp;
  if (from === undefined || to === undefined || to <= from) return 0.5;
  const share = Math.min(0.98, Math.max(0.02, (time - from) / (to - from)));
  return share === 0.5 ? 0.501 : share;
}
