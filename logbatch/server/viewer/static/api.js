/** Plain requests. */

/** A request that the server answered with a reason. */
export class ApiError extends Error {
  /** @param {string} message @param {number|null} position in characters of the filter or query @param {number} status 0 for no answer */
  constructor(message, position = null, status = 0) {
    super(message);
    this.position = position;
    this.status = status;
  }
}

/** Return the address of a request. @param {string} path @param {Record<string, unknown>} [params] those without a value are left out */
export function address(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `api/${path}${query ? `?${query}` : ""}`;
}

/** Ask for an answer. @param {string} path @param {Record<string, unknown>} [params] @param {AbortSignal} [signal] */
export async function ask(path, params, signal) {
  return answerOf(fetch(address(path, params), { signal, headers: { Accept: "application/json" } }));
}

/** Send something and return the answer. @param {string} path @param {unknown} body @param {AbortSignal} [signal] */
export async function send(path, body, signal) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  return answerOf(fetch(address(path), { method: "POST", signal, headers, body: JSON.stringify(body) }));
}

async function answerOf(request) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the server does not answer");
  }
  const found = await response.json().catch(() => null);
  if (response.ok && found) return found;
  throw new ApiError(found?.error ?? `the server answered ${response.status}`, found?.position ?? null, response.status);
}

/** Turn a position in characters, as the server counts, into one in a JavaScript text. @param {string} text @param {number} position */
export function toIndex(text, position) {
  return [...text].slice(0, position).join("").length;
}

/** The reverse of `toIndex`. @param {string} text @param {number} index */
export function toPosition(text, index) {
  return [...text.slice(0, index)].length;
}
