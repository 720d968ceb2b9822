/** Small charts in SVG. */

import { svg } from "./dom.js";

/**
 * Bars without axes.
 * @param {number[]} counts @param {{width?: number, height?: number, label: string}} options
 */
export function sparkline(counts, { width = 120, height = 24, label }) {
  const most = Math.max(1, ...counts);
  const step = width / Math.max(1, counts.length);
  const bars = counts.map((many, at) => {
    const tall = many ? Math.max(1.5, (many / most) * height) : 0;
    return svg("rect", { x: at * step, y: height - tall, width: Math.max(0.5, step - 0.8), height: tall });
  });
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none" }, ...bars);
}

/**
 * Lines over time; values that are null break them.
 * @param {{name: string, kind: string, points: [number, number|null][]}[]} series
 * @param {{width?: number, height?: number, label: string, from: number, to: number, most?: number}} options
 */
export function lines(series, { width = 300, height = 64, label, from, to, most }) {
  const values = series.flatMap(({ points }) => points.map(([, value]) => value ?? 0));
  const top = most ?? Math.max(1e-9, ...values) * 1.08;
  const range = Math.max(1, to - from);
  const place = ([time, value]) => `${(((time - from) / range) * width).toFixed(1)},${(height - (value / top) * (height - 2) - 1).toFixed(1)}`;
  const drawn = series.map(({ kind, points }) => svg("path", { class: `series ${kind}`, d: path(points, place) }));
  return svg("svg", { class: "lines", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none" }, ...drawn);
}

function path(points, place) {
  let pen = "M";
  let text = "";
  for (const point of points) {
    if (point[1] === null) pen = "M";
    else {
      text += `${pen}${place(point)}`;
      pen = "L";
    }
  }
  return text;
}
