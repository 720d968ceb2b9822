/** A stack trace as frames that open and close; the application's own stand out. */

import { el } from "./dom.js";
import { block, counted } from "./format.js";

const FRAME = /^ {2}(?:[|+\- ]*)File "(.+)", line (\d+)(?:, in (.*))?$/;
const LIBRARY = /[\\/](?:site-packages|dist-packages|lib[\\/]python\d[^\\/]*)[\\/]|^<frozen /;
const MOST = 400_000; // characters

/** @typedef {{file: string, line: string, name: string, code: string[]}} Frame */

/** Cut a trace, as Python prints it, into frames and what stands between them. @param {string} text @returns {(Frame|string)[]} */
export function parseTrace(text) {
  const found = [];
  let frame = null;
  for (const line of text.split("\n")) {
    const start = FRAME.exec(line);
    if (start) {
      frame = { file: start[1], line: start[2], name: start[3] ?? "", code: [] };
      found.push(frame);
    } else if (frame && line.startsWith("    ")) frame.code.push(line.slice(4));
    else {
      frame = null;
      if (line.trim()) found.push(line);
    }
  }
  return found;
}

/** Whether a frame is of a library, not of the application. @param {string} file */
export function isLibrary(file) {
  return LIBRARY.test(file);
}

/** Show a trace; neighbouring frames of libraries are folded into one line. @param {string} text @returns {HTMLElement} */
export function showTrace(text) {
  const parts = parseTrace(text.slice(0, MOST));
  const root = el("div", { class: "trace" });
  let folded = [];
  const unfold = () => {
    if (folded.length > 1) root.append(el("details", { class: "libraries" }, el("summary", {}, counted(folded.length, "library frame")), ...folded.map(showFrame)));
    else root.append(...folded.map(showFrame));
    folded = [];
  };
  for (const part of parts) {
    if (typeof part !== "string" && isLibrary(part.file)) {
      folded.push(part);
      continue;
    }
    unfold();
    root.append(typeof part === "string" ? el("p", { class: "between" }, block(part)) : showFrame(part));
  }
  unfold();
  return root;
}

function showFrame(frame) {
  const own = !isLibrary(frame.file);
  const where = el("summary", {},
    el("span", { class: "function" }, block(frame.name || "?")),
    el("span", { class: "file" }, `${block(shortPath(frame.file))}:${frame.line}`));
  const code = frame.code.length ? el("pre", {}, block(frame.code.join("\n"))) : null;
  return el("details", { class: own ? "frame own" : "frame", open: own, title: block(frame.file) }, where, code);
}

/** The end of a path, which says enough. @param {string} path */
export function shortPath(path) {
  const inner = path.split(/[\\/](?:site-packages|dist-packages)[\\/]/).pop();
  return inner.split(/[\\/]/).slice(-3).join("/");
}
