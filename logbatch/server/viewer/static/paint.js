/** Draws the histogram: stacked bars, the axis of time, marks. */

import { short, tick } from "./format.js";

const AXIS = 18; // pixels below the bars
const TOP = 6;
const LEAST = 2; // pixels of what is there, however few they are
const LABEL = 130; // pixels for one label of the axis
const MARKS = { restart: "--dim", start: "--dim", drop: "--error", deploy: "--good" };

/**
 * @typedef {object} Picture
 * @property {number} start
 * @property {number} width of a bin, in microseconds
 * @property {string[]} levels
 * @property {number[][]} counts by bin and level
 * @property {number|null} cursor the bin that the keys are at
 * @property {{x: number, kind: string, own?: boolean}[]} marks
 * @property {"local"|"utc"} zone
 * @property {import("./levels.js").Levels} levelsOf
 */

/** @param {HTMLCanvasElement} canvas @param {HTMLElement} root whose size and colours it has @param {Picture|null} picture */
export function paint(canvas, root, picture) {
  const { clientWidth: width, clientHeight: height } = root;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (!picture) return;
  const style = getComputedStyle(root);
  const colour = (name) => style.getPropertyValue(name).trim();
  pen.font = `11px ${style.fontFamily}`;
  drawBars(pen, picture, width, height - AXIS, colour);
  drawAxis(pen, picture, width, height, colour);
  drawMarks(pen, picture.marks, height - AXIS, colour);
}

/** @param {(number|undefined)[]} counts @returns {number} */
export function sum(counts) {
  let all = 0;
  for (const many of counts) all += many ?? 0;
  return all;
}

function drawBars(pen, { counts, levels, levelsOf, cursor }, width, height, colour) {
  const order = levels.map((name, at) => ({ at, number: levelsOf.number(name), fill: colour(`--bar-${levelsOf.kind(name)}`) }));
  order.sort((one, other) => other.number - one.number); // the worst stand at the bottom, where they compare
  const most = counts.reduce((top, bin) => Math.max(top, sum(bin)), 1);
  const step = width / counts.length;
  const gap = step >= 4 ? 1 : 0;
  counts.forEach((bin, at) => {
    let bottom = height;
    for (const { at: level, fill } of order) {
      if (!bin[level]) continue;
      const tall = Math.max(LEAST, (bin[level] / most) * (height - TOP));
      pen.fillStyle = fill;
      pen.fillRect(at * step, bottom - tall, Math.max(1, step - gap), tall);
      bottom -= tall;
    }
    if (at === cursor) {
      pen.strokeStyle = colour("--focus");
      pen.strokeRect(at * step + 0.5, 1, Math.max(1, step - 1), height - 1);
    }
  });
  drawTop(pen, `max ${short(most)}`, width, colour);
}

function drawTop(pen, text, width, colour) {
  pen.textBaseline = "top";
  pen.textAlign = "right";
  pen.strokeStyle = colour("--ground");
  pen.lineWidth = 3;
  pen.strokeText(text, width - 6, 3);
  pen.lineWidth = 1;
  pen.fillStyle = colour("--dim");
  pen.fillText(text, width - 6, 3);
}

function drawAxis(pen, { start, width: binWidth, counts, zone }, width, height, colour) {
  const range = binWidth * counts.length;
  const every = range / Math.max(2, Math.floor(width / LABEL));
  pen.fillStyle = colour("--line");
  pen.fillRect(0, height - AXIS, width, 1);
  pen.fillStyle = colour("--dim");
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  for (let at = every / 2; at < range; at += every) {
    const bin = Math.floor(at / binWidth) * binWidth;
    const x = (bin / range) * width;
    pen.fillText(tick(start + bin, zone, range), x, height - AXIS / 2 + 1);
    pen.fillRect(x, height - AXIS, 1, 3);
  }
}

function drawMarks(pen, marks, height, colour) {
  for (const { x, kind, own } of marks) {
    pen.strokeStyle = pen.fillStyle = colour(MARKS[kind] ?? "--accent");
    pen.setLineDash(own ? [] : [3, 2]);
    pen.beginPath();
    pen.moveTo(Math.round(x) + 0.5, 0);
    pen.lineTo(Math.round(x) + 0.5, height);
    pen.stroke();
    pen.setLineDash([]);
    pen.fillRect(x - 2, 0, 6, 5);
  }
}
