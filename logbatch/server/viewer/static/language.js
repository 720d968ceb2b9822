/**
 * Editing a filter as text, in the filter language: one term in, one term out.
 *
 * Only what stands at the top of a filter, where all terms must hold, is taken for a term that a
 * click made; what is in parentheses, or beside an `or`, is left as it was written.
 */

const NAME = /^[\p{L}\p{N}_@$](?:[\p{L}\p{N}_.:@/$-]*[\p{L}\p{N}_])?$/u;
const SIMPLE = /^[^\s\\'"=<>!~(),*/[{-][^\s\\'"=<>!~(),]*$/u;
const KEYWORD = /^(?:and|or|not)$/i;

/** Quote a value, where it needs that. @param {unknown} value @returns {string} */
export function quoteValue(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return SIMPLE.test(text) && !KEYWORD.test(text) ? text : quoted(text);
}

/** Quote the name of a column or an attribute, where it needs that. @param {string} name */
export function quoteName(name) {
  return NAME.test(name) ? name : quoted(name);
}

function quoted(text) {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/**
 * The term for a value: `service=shop`; null is where it is missing, which `=null` means also in quotes.
 * @param {string} field @param {unknown} value
 */
export function termFor(field, value) {
  if (value === "null") return `(${quoteName(field)}="null" ${quoteName(field)}=*)`;
  if (value === null || value === undefined) return `${quoteName(field)}=null`;
  return `${quoteName(field)}=${quoteValue(value)}`;
}

/**
 * The term for events of a pattern: those of a template or, where none is stored, of a message.
 * @param {string} template @param {string} example a message of it
 */
export function termForPattern(template, example) {
  const term = termFor("template", template);
  return template === example ? `(${term} or ${termFor("message", template)})` : term;
}

/** @typedef {{text: string, start: number, end: number}} Piece */

/**
 * Cut a filter into what stands at its top, by spaces outside of quotes and parentheses.
 * @param {string} text @returns {Piece[]}
 */
export function pieces(text) {
  const found = [];
  let at = 0;
  while (at < text.length) {
    while (at < text.length && /\s/.test(text[at])) at += 1;
    if (at === text.length) break;
    const end = endOfPiece(text, at);
    found.push({ text: text.slice(at, end), start: at, end });
    at = end;
  }
  return found;
}

function endOfPiece(text, start) {
  let depth = 0;
  let before = "";
  for (let at = start; at < text.length; at += 1) {
    const sign = text[at];
    if (/\s/.test(sign) && depth === 0) return at;
    if (sign === "\\") at += 1;
    else if ((sign === '"' || sign === "'") && /^$|[=<>~,(\s-]/.test(before)) at = closing(text, at, sign);
    else if (sign === "/" && before === "~") at = closing(text, at, "/");
    else if (sign === "(") depth += 1;
    else if (sign === ")") depth = Math.max(0, depth - 1);
    before = sign;
  }
  return text.length;
}

function closing(text, open, sign) {
  for (let at = open + 1; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === sign) return at;
  }
  return text.length;
}

/** Whether an `or` stands at the top. @param {string} text */
function isAlternative(text) {
  return pieces(text).some((piece) => piece.text.toLowerCase() === "or");
}

/** Whether a filter has a term at its top. @param {string} text @param {string} term */
export function hasTerm(text, term) {
  return !isAlternative(text) && pieces(text).some((piece) => piece.text === term);
}

/** Add a term that must hold as well. @param {string} text @param {string} term @returns {string} */
export function addTerm(text, term) {
  const whole = text.trim();
  if (!whole) return term;
  if (hasTerm(whole, term)) return whole;
  return isAlternative(whole) ? `(${whole}) ${term}` : `${whole} ${term}`;
}

/** Take a term away. @param {string} text @param {string} term @returns {string} */
export function removeTerm(text, term) {
  if (isAlternative(text)) return text;
  const kept = pieces(text).filter((piece) => piece.text !== term);
  return withoutLooseAnd(kept.map((piece) => piece.text)).join(" ");
}

function withoutLooseAnd(words) {
  const isAnd = (word) => word?.toLowerCase() === "and";
  return words.filter((word, at) => !isAnd(word) || (at > 0 && at < words.length - 1 && !isAnd(words[at - 1])));
}

/** What a filter says of a value. @param {string} text @param {string} field @param {unknown} value @returns {"include"|"exclude"|""} */
export function stateOf(text, field, value) {
  const term = termFor(field, value);
  if (hasTerm(text, `-${term}`)) return "exclude";
  if (isWhole(value)) return hasTerm(text, term) ? "include" : "";
  return findValues(text, field)?.values.includes(valuePart(term)) ? "include" : "";
}

/**
 * Include a value or take that back.  A second value of a field is one more that will do:
 * `logger=a` becomes `logger=a,b`.
 * @param {string} text @param {string} field @param {unknown} value
 */
export function toggleInclude(text, field, value) {
  const term = termFor(field, value);
  const cleared = removeTerm(text, `-${term}`);
  if (isWhole(value)) return hasTerm(cleared, term) ? removeTerm(cleared, term) : addTerm(cleared, term);
  const found = findValues(cleared, field);
  const part = valuePart(term);
  if (!found || found.values.includes("null")) return addTerm(cleared, term);
  const values = found.values.includes(part) ? found.values.filter((other) => other !== part) : [...found.values, part];
  if (!values.length) return removeTerm(cleared, found.piece.text);
  const replaced = `${quoteName(field)}=${values.join(",")}`;
  return cleared.slice(0, found.piece.start) + replaced + cleared.slice(found.piece.end);
}

/** Exclude a value or take that back. @param {string} text @param {string} field @param {unknown} value */
export function toggleExclude(text, field, value) {
  const term = termFor(field, value);
  if (hasTerm(text, `-${term}`)) return removeTerm(text, `-${term}`);
  const without = stateOf(text, field, value) === "include" ? toggleInclude(text, field, value) : text;
  return addTerm(without, `-${term}`);
}

/** Whether the term of a value is not one among several of a field. */
function isWhole(value) {
  return value === null || value === undefined || value === "null";
}

function valuePart(term) {
  const name = term.startsWith('"') ? closing(term, 0, '"') + 1 : term.indexOf("=");
  return term.slice(name + 1);
}

/** The term `field=a,b` at the top, where there is just one. */
function findValues(text, field) {
  if (isAlternative(text)) return null;
  const start = `${quoteName(field)}=`;
  const found = pieces(text).filter((piece) => piece.text.startsWith(start));
  return found.length === 1 ? { piece: found[0], values: splitValues(found[0].text.slice(start.length)) } : null;
}

function splitValues(text) {
  const values = [];
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === '"' || text[at] === "'") at = closing(text, at, text[at]);
    else if (text[at] === ",") {
      values.push(text.slice(from, at));
      from = at + 1;
    }
  }
  values.push(text.slice(from));
  return values;
}

/** The values that a filter includes of a field, as texts. @param {string} text @param {string} field @returns {string[]} */
export function includedValues(text, field) {
  return (findValues(text, field)?.values ?? []).filter((value) => value !== "*").map(unquoted);
}

/** The values that a filter excludes of a field, as texts. @param {string} text @param {string} field @returns {string[]} */
export function excludedValues(text, field) {
  if (isAlternative(text)) return [];
  const start = `-${quoteName(field)}=`;
  const found = pieces(text).filter((piece) => piece.text.startsWith(start));
  const values = found.map((piece) => splitValues(piece.text.slice(start.length)));
  return values.filter((each) => each.length === 1 && each[0] !== "*").map(([value]) => unquoted(value));
}

function unquoted(value) {
  const inner = /^(["'])(.*)\1$/s.exec(value)?.[2] ?? value;
  return inner.replace(/\\(.)/gs, "$1");
}

/** The words of a filter that are looked for in messages. @param {string} text @returns {string[]} in lower case */
export function bareWords(text) {
  return pieces(text).flatMap(({ text: piece }) => {
    if (/^\(.*\)$/s.test(piece)) return bareWords(piece.slice(1, -1));
    if (/^(["']).+\1$/s.test(piece)) return [unquoted(piece).toLowerCase()];
    return KEYWORD.test(piece) || /^-|[=<>~()]/.test(piece) || piece.length < 2 ? [] : [unquoted(piece).toLowerCase()];
  });
}
