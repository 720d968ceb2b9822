/** The pipeline: what the batchers of this directory report. */

import { ask } from "./api.js";
import { lines } from "./chart.js";
import { byId, el, replace } from "./dom.js";
import { count, counted, duration, line, percent, short } from "./format.js";
import { Panel } from "./panel.js";

const EVERY = 2000;
const TRIGGERS = ["age", "size", "bytes", "level", "full", "asked", "close"];

export class Pipeline extends Panel {
  constructor() {
    super(byId("panel-pipeline"), EVERY);
  }

  async load(signal) {
    const { processes } = await ask("pipeline", {}, signal);
    if (!processes.length) return this.empty("No process of this directory reports.\nOne does from the time it logs, unless its handler has report=False.");
    const scroll = this.content.scrollTop;
    const living = [...processes].sort((one, other) => Number(other.alive) - Number(one.alive) || last(other) - last(one));
    replace(this.content, summary(processes), ...living.map(showProcess));
    this.content.scrollTop = scroll;
  }
}

function summary(processes) {
  const total = (name) => processes.reduce((sum, { stats }) => sum + (stats?.[name] ?? 0), 0);
  const dropped = processes.reduce((sum, { stats }) => sum + sumOf(stats?.dropped), 0);
  const living = processes.filter(({ alive }) => alive);
  const facts = [
    ["processes alive", `${distinct(living)} of ${distinct(processes)}`],
    ["accepted", count(total("accepted"))],
    ["published", count(total("published"))],
    ["waiting", count(total("pending"))],
    ["dropped", count(dropped), dropped > 0],
    ["rejected", count(total("rejected")), total("rejected") > 0],
    ["retries", count(total("retries"))],
    ["requests saved", count(total("requests_saved"))],
  ];
  return el("dl", { class: "facts", id: "pipeline-facts" }, ...facts.map(([name, text, bad]) => el("div", { class: bad ? "bad" : "" }, el("dt", {}, name), el("dd", {}, text))));
}

/** Count processes: one may have several handlers, each of which reports. */
function distinct(processes) {
  return new Set(processes.map(({ host, process }) => `${process} ${host}`)).size;
}

function showProcess({ service, process, host, alive, stats, samples, producer, transport }) {
  const from = samples[0]?.[0] ?? 0;
  const to = samples.at(-1)?.[0] ?? 1;
  const take = (read) => samples.map(([time, each]) => [time, read(each) ?? null]);
  const chart = (title, text, series, options = {}) =>
    el("figure", {}, el("figcaption", {}, el("span", {}, title), el("b", {}, text)), lines(series, { from, to, label: `${title}: ${text}`, ...options }));
  const rates = { accepted: perSecond(samples, "accepted"), published: perSecond(samples, "published") };
  const flush = stats?.flush_seconds ?? {};
  const dropped = sumOf(stats?.dropped);
  const sends = typeof stats?.requests_saved === "number"; // files take no requests
  return el("section", { class: "process", data: { producer, alive: String(alive) } },
    el("h2", {}, el("i", { class: "dot", "aria-hidden": "true" }), `${line(service ?? "process")} `, el("span", { class: "dim" }, `${process} on ${line(host ?? "?")} · ${alive ? "alive" : "gone"} · last ${duration((to - from) / 1e6)}${transport ? ` · ${line(transport)}` : ""}`)),
    stats?.last_error && el("p", { class: "problem" }, line(stats.last_error)),
    el("div", { class: "charts" },
      chart("records a second", latest(rates.accepted), [{ name: "accepted", kind: "a", points: rates.accepted }, { name: "published", kind: "b", points: rates.published }]),
      chart("queue", count(stats?.pending ?? 0), [{ name: "pending", kind: "a", points: take((each) => each.pending) }]),
      chart("records a batch", short(Number((stats?.records_per_batch ?? 0).toPrecision(3))), [{ name: "size", kind: "a", points: take((each) => each.records_per_batch) }]),
      chart("flush, p50 and p99", `${duration(flush.p50 ?? 0)} · ${duration(flush.p99 ?? 0)}`, [
        { name: "p99", kind: "b", points: take((each) => each.flush_seconds?.p99) },
        { name: "p50", kind: "a", points: take((each) => each.flush_seconds?.p50) }]),
      chart("retries", count(stats?.retries ?? 0), [{ name: "retries", kind: "warn", points: take((each) => each.retries) }]),
      chart("dropped", count(dropped), [{ name: "dropped", kind: "bad", points: take((each) => sumOf(each.dropped)) }]),
      sends && chart("requests saved", count(stats?.requests_saved ?? null), [{ name: "saved", kind: "a", points: take((each) => each.requests_saved) }]),
      sends && chart("fallback share", percent(stats?.fallback_share ?? 0), [{ name: "fallback", kind: "warn", points: take((each) => each.fallback_share) }], { most: 1 }),
      triggers(stats?.flushes ?? {})));
}

function triggers(flushes) {
  const all = Math.max(1, sumOf(flushes));
  const names = [...new Set([...TRIGGERS, ...Object.keys(flushes)])].filter((name) => flushes[name]);
  return el("figure", { class: "triggers" }, el("figcaption", {}, el("span", {}, "flushes by trigger"), el("b", {}, counted(sumOf(flushes), "flush", "flushes"))),
    el("ul", {}, ...names.map((name) => el("li", {}, el("span", {}, line(name)), el("i", { style: { width: `${(flushes[name] / all) * 100}%` } }), el("span", { class: "num" }, count(flushes[name]))))));
}

function perSecond(samples, name) {
  return samples.slice(1).map(([time, stats], at) => {
    const [before, old] = samples[at];
    const seconds = (time - before) / 1e6;
    return [time, seconds > 0 ? Math.max(0, (stats[name] - old[name]) / seconds) : null];
  });
}

function latest(points) {
  return short(Math.round(points.at(-1)?.[1] ?? 0));
}

function sumOf(counts) {
  return Object.values(counts ?? {}).reduce((sum, many) => sum + many, 0);
}

function last({ samples }) {
  return samples.at(-1)?.[0] ?? 0;
}
