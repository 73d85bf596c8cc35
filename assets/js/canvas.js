/* What every canvas of Lacuna needs: a sharp surface, and a few marks. */

import { css } from "./theme.js";

/** @import { Pen, Surface, Theme } from "./types" */

/**
 * A canvas made ready for the size it has on the page, and the pen scaled so that one unit is one CSS pixel.
 * @param {HTMLCanvasElement} canvas
 * @returns {Surface}
 */
export function surfaceOf(canvas) {
  const scale = (window.devicePixelRatio || 1) * (canvas.currentCSSZoom ?? 1);
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(w * scale);
  canvas.height = Math.round(h * scale);
  const pen = /** @type {Pen} */ (canvas.getContext("2d"));
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.face = "";
  return { canvas, pen, w, h };
}

/**
 * What a surface shows now, to be copied later; an OffscreenCanvas must not be empty.
 * @param {Surface} surface
 */
export function copyOf({ canvas, w }) {
  const copy = new OffscreenCanvas(Math.max(canvas.width, 1), Math.max(canvas.height, 1));
  if (w) copy.getContext("2d")?.drawImage(canvas, 0, 0);
  return copy;
}

/**
 * @param {Pen} pen @param {string} colour @param {number} width
 * @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @param {number[]} [dash]
 */
export function line(pen, colour, width, x0, y0, x1, y1, dash = []) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
  pen.setLineDash([]);
}

/**
 * @param {Pen} pen @param {number} x @param {number} y @param {number} radius
 * @param {{ fill?: string, stroke?: string, width?: number, dash?: number[] }} ink
 */
export function disc(pen, x, y, radius, { fill, stroke, width = 1, dash = [] }) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) {
    pen.fillStyle = fill;
    pen.fill();
  }
  if (stroke) {
    pen.strokeStyle = stroke;
    pen.lineWidth = width;
    pen.setLineDash(dash);
    pen.stroke();
  }
  pen.setLineDash([]);
}

/** A ring around a mark. @param {Pen} pen @param {number} x @param {number} y @param {Theme} theme */
export function ring(pen, x, y, theme) {
  disc(pen, x, y, 9, { stroke: css(theme.ground), width: 5 });
  disc(pen, x, y, 9, { stroke: css(theme.text), width: 2 });
}

/** Setting a font, even the same one, may cost a style resolution of the page. @param {Pen} pen @param {string} font */
export function face(pen, font) {
  if (pen.face !== font) pen.font = pen.face = font;
}

/**
 * @param {Pen} pen @param {string} text @param {number} x @param {number} y
 * @param {string} colour @param {string} font @param {CanvasTextAlign} [align]
 */
export function write(pen, text, x, y, colour, font, align = "left") {
  pen.fillStyle = colour;
  face(pen, font);
  pen.textAlign = align;
  pen.fillText(text, x, y);
}
