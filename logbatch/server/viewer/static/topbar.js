/** The bar at the top: where the log is, whether the server is there, the clock, the export. */

import { address } from "./api.js";
import { byId, setText } from "./dom.js";
import { line, zoneName } from "./format.js";
import { openMenu } from "./popover.js";
import { resolveTime } from "./state.js";

/** @param {import("./state.js").State} state @param {import("./connection.js").Connection} connection */
export function wireTopbar(state, connection) {
  showStatus(connection);
  const clock = byId("clock");
  const showClock = () => setText(clock, `${zoneName(state.view.tz).split(" ")[0]} · ${state.view.time === "rel" ? "ago" : "time"}`);
  showClock();
  state.addEventListener("change", showClock);
  clock.addEventListener("click", () => openClock(clock, state));
  byId("export").addEventListener("click", (event) => openExport(event.currentTarget, state));
}

/** Show what is known of the directory. @param {{directory: string, version: string, problems?: string[]}} info */
export function showInfo(info) {
  const directory = byId("directory");
  directory.textContent = line(info.directory);
  directory.title = `${line(info.directory)}\nlogbatch ${info.version}`;
  const name = info.directory.split(/[\\/]/).filter(Boolean).at(-1) ?? "logs";
  document.title = `${line(name)} · logbatch`;
  if (info.problems?.length) showProblem(info.problems.join("\n"));
}

/** Say what is wrong, until somebody has read it. @param {string} text */
export function showProblem(text) {
  const box = byId("problem");
  const words = document.createElement("span");
  words.className = "text";
  words.textContent = line(text);
  const close = document.createElement("button");
  close.type = "button";
  close.className = "icon quiet";
  close.setAttribute("aria-label", "Close");
  close.textContent = "×";
  close.addEventListener("click", hideProblem);
  box.replaceChildren(words, close);
  box.hidden = false;
}

/** What was wrong is no more. */
export function hideProblem() {
  byId("problem").hidden = true;
}

function showStatus(connection) {
  const status = byId("status");
  const text = status.querySelector(".text");
  let timer = 0;
  connection.addEventListener("status", ({ detail }) => {
    clearInterval(timer);
    status.dataset.state = detail.state === "open" ? "live" : detail.state;
    if (detail.state !== "lost") return setText(text, detail.state === "open" ? "live" : "connecting");
    const due = performance.now() + detail.wait;
    const count = () => setText(text, `no server, again in ${Math.max(0, Math.ceil((due - performance.now()) / 1000))} s`);
    count();
    timer = setInterval(count, 1000);
  });
}

function openClock(anchor, state) {
  const { tz, time } = state.view;
  const sign = (on) => (on ? "✓" : "");
  openMenu(anchor, "Times", [
    { id: "tz-local", text: zoneName("local"), hint: sign(tz === "local"), act: () => state.set({ tz: "local" }, { replace: true }) },
    { id: "tz-utc", text: "UTC", hint: sign(tz === "utc"), act: () => state.set({ tz: "utc" }, { replace: true }) },
    null,
    { id: "time-abs", text: "as times", hint: sign(time === "abs"), act: () => state.set({ time: "abs" }, { replace: true }) },
    { id: "time-rel", text: "as ago", hint: sign(time === "rel"), act: () => state.set({ time: "rel" }, { replace: true }) },
  ]);
}

function openExport(anchor, state) {
  const { q, from, to } = state.view;
  const link = (format) => address("export", { format, where: q, start: resolveTime(from), end: resolveTime(to) });
  openMenu(anchor, "Export", [
    { id: "export-csv", text: "CSV", hint: "for spreadsheets", href: link("csv"), download: true },
    { id: "export-jsonl", text: "JSON Lines", hint: ".jsonl", href: link("jsonl"), download: true },
    { id: "export-parquet", text: "Parquet", hint: ".parquet", href: link("parquet"), download: true },
    null,
    { id: "copy-link", text: "Copy the link to this view", act: () => navigator.clipboard?.writeText(location.href) },
  ]);
}
