/* A panel: ● retained below, ✖ to be forgotten on top, a ring around one image, and the lasso. */

import { face, ring, write } from "../canvas.js";
import { cross, dot, drawMarks, fill, stroke } from "../cloud.js";
import { css } from "../theme.js";
import { pointAt, scaleOf } from "./geometry.js";

/** @import { Pen, Surface, Theme } from "../types" */
/** @import { Embedding, Part } from "./types" */

/**
 * Who is in focus is drawn in full, the others stay as a shade.
 * @param {Surface} surface @param {ArrayLike<number>} xy @param {Uint8Array} klass
 * @param {Pick<Embedding, "forgotten" | "focus" | "part">} state @param {Theme} theme
 */
export function drawCloud({ pen, w, h }, xy, klass, { forgotten, focus, part }, theme) {
  const scale = scaleOf({ w, h }, part);
  pen.clearRect(0, 0, w, h);
  pen.lineCap = "round";
  /** @param {(i: number) => unknown} wanted @param {(pen: Pen, x: number, y: number, size: number) => void} mark
   *  @param {number} size @param {(colour: string) => void} ink */
  const marks = (wanted, mark, size, ink) => {
    const rows = Int32Array.from(klass, (_, i) => (wanted(i) ? i : -1));
    drawMarks(pen, rows, klass, theme.classes, (i) => mark(pen, scale.x(xy[2 * i]), scale.y(xy[2 * i + 1]), size), ink);
  };
  pen.globalAlpha = theme.dark ? 0.16 : 0.12;
  marks((i) => !focus[i], dot, 1.8, () => fill(pen, css(theme.text)));
  pen.globalAlpha = theme.dark ? 0.6 : 0.5;
  marks((i) => focus[i] && !forgotten[i], dot, 2.4, (colour) => fill(pen, colour));
  pen.globalAlpha = 1;
  marks((i) => focus[i] && forgotten[i], cross, 3.6, (colour) => {
    stroke(pen, css(theme.ground, 0.9), 4.4);
    stroke(pen, colour, 2.4);
  });
  pen.lineCap = "butt";
}

/**
 * A ring around one image, and what the network calls it.
 * @param {Surface} surface @param {Part} part @param {ArrayLike<number>} xy @param {number} i
 * @param {string} name @param {Theme} theme
 */
export function drawRing(surface, part, xy, i, name, theme) {
  const { pen, w } = surface;
  const [x, y] = pointAt(surface, part, xy, i);
  ring(pen, x, y, theme);
  const font = theme.font(14, 600);
  face(pen, font);
  const length = pen.measureText(name).width;
  const left = Math.min(Math.max(x - length / 2, 4), w - length - 4);
  const base = y > 34 ? y - 16 : y + 26;
  pen.fillStyle = css(theme.ground, 0.85);
  pen.fillRect(left - 4, base - 14, length + 8, 19);
  write(pen, name, left, base, css(theme.text), font);
}

/** @param {Surface} surface @param {number[][]} path @param {Theme} theme */
export function drawLasso({ pen }, path, theme) {
  pen.beginPath();
  for (const [i, [x, y]] of path.entries()) pen[i ? "lineTo" : "moveTo"](x, y);
  pen.closePath();
  pen.fillStyle = css(theme.text, 0.08);
  pen.fill();
  pen.strokeStyle = css(theme.text);
  pen.lineWidth = 1.5;
  pen.setLineDash([4, 3]);
  pen.stroke();
  pen.setLineDash([]);
}
