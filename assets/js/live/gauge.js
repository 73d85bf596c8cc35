/* One bullet gauge: 0..100 %, original (grey tick), retrained (band over the seeds), unlearned (accent). */

import { disc, face, line, write } from "../canvas.js";
import { mean } from "../maths.js";
import { css } from "../theme.js";
import { percent } from "../words.js";

/** @import { RGB, Surface, Theme } from "../types" */
/** @import { Reading } from "./types" */

const INSET = 9;
const THICK = 14;

/** @param {Surface} surface @param {Reading} reading @param {Theme} theme */
export function drawGauge({ pen, w, h }, { original, retrained, interval, value, exact }, theme) {
  const y = h / 2;
  const x = (/** @type {number} */ share) => INSET + share * (w - 2 * INSET);
  /** @param {string} text @param {number} at @param {number} baseline @param {RGB} colour */
  const label = (text, at, baseline, colour) => {
    face(pen, theme.font(12));
    const half = pen.measureText(text).width / 2;
    write(pen, text, Math.min(Math.max(at, half), w - half), baseline, css(colour), theme.font(12), "center");
  };
  pen.clearRect(0, 0, w, h);
  pen.fillStyle = css(theme.track);
  pen.beginPath();
  pen.roundRect(INSET, y - THICK / 2, w - 2 * INSET, THICK, 3);
  pen.fill();
  for (const quarter of [0.25, 0.5, 0.75]) {
    line(pen, css(theme.grid), 1, x(quarter), y - THICK / 2, x(quarter), y + THICK / 2);
  }
  if (original !== null && original !== undefined) {
    line(pen, css(theme.original), 3, x(original), y - 13, x(original), y + 10);
    label(`original ${percent(original, 0)}`, x(original), y - 16, theme.muted);
  }
  if (retrained?.length) {
    const [low, high] = [Math.min(...retrained), Math.max(...retrained)];
    const width = Math.max(x(high) - x(low), 5);
    pen.fillStyle = css(theme.retrained, 0.35);
    pen.fillRect((x(low) + x(high) - width) / 2, y - 12, width, 25);
    line(pen, css(theme.retrained), 2, x(mean(retrained)), y - 12, x(mean(retrained)), y + 13);
    const [from, to] = [(100 * low).toFixed(0), percent(high, 0)];
    const range = `${from}\u202f%` === to ? to : `${from}–${to}`;
    label(`retrained ${range}`, x(mean(retrained)), y + 25, theme.retrained);
  }
  if (value === null || value === undefined || !Number.isFinite(value)) return;
  if (exact && interval) {
    line(pen, css(theme.accent), 2, x(interval[0]), y, x(interval[1]), y);
    for (const end of interval) line(pen, css(theme.accent), 2, x(end), y - 5, x(end), y + 5);
  }
  const fill = css(exact ? theme.accent : theme.ground);
  disc(pen, x(value), y, 7.5, { fill, stroke: css(theme.ground), width: 4 });
  disc(pen, x(value), y, 7, { fill, stroke: css(theme.accent), width: 2.5, dash: exact ? [] : [3, 2.2] });
}
