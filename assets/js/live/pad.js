/* The pad: α × λ, shaded by how far each point is from retraining, with the ring that is dragged. */

import { disc, face, line, write } from "../canvas.js";
import { css, mix } from "../theme.js";
import { power, short } from "../words.js";
import { blend, distance, locate } from "./landscape.js";

/** @import { Pair, Pen, Surface, Theme } from "../types" */
/** @import { Gauge, Landscape, Scale } from "./types" */

/**
 * Pad coordinates: both axes logarithmic over the range of the ticks.
 * @param {Pick<Surface, "w" | "h">} surface @param {number[]} alphas @param {number[]} lambdas
 * @returns {Scale}
 */
export function padScale({ w, h }, alphas, lambdas) {
  const box = { left: 34, top: 8, width: w - 34 - 12, height: h - 8 - 22 };
  const axis = (/** @type {number[]} */ ticks) => [Math.log(ticks[0]), Math.log(ticks[ticks.length - 1] / ticks[0])];
  const [[a0, a], [l0, l]] = [axis(alphas), axis(lambdas)];
  const within = (/** @type {number} */ share) => Math.min(Math.max(share, 0), 1);
  return {
    ...box,
    x: (alpha) => box.left + ((Math.log(alpha) - a0) / a) * box.width,
    y: (lambda) => box.top + box.height - ((Math.log(lambda) - l0) / l) * box.height,
    alpha: (x) => Math.exp(a0 + within((x - box.left) / box.width) * a),
    lambda: (y) => Math.exp(l0 + (1 - within((y - box.top) / box.height)) * l),
  };
}

/**
 * The shaded map behind the pad. Drawn once per change of the landscape, never per frame.
 * @param {Scale} scale @param {Landscape} landscape @param {Gauge[]} gauges @param {Theme} theme
 */
export function padShade(scale, landscape, gauges, theme) {
  const [w, h] = [72, 36];
  const canvas = new OffscreenCanvas(w, h);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = pen.createImageData(w, h);
  const values = new Float64Array(gauges.length);
  for (let i = 0; i < w * h; i++) {
    const x = scale.left + (((i % w) + 0.5) / w) * scale.width;
    const y = scale.top + ((Math.floor(i / w) + 0.5) / h) * scale.height;
    const spot = locate(landscape, scale.alpha(x), scale.lambda(y));
    const far = spot && distance(gauges, blend(landscape, spot, "gauges", values));
    if (far === null || Number.isNaN(far)) continue;
    pixels.data.set([...mix(theme.near, theme.far, Math.min(far, 1)), 255], 4 * i);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

/** The whole powers of ten within a range. @param {Pair} range */
function decades([low, high]) {
  const ks = [];
  for (let k = Math.ceil(Math.log10(low) - 1e-9); k <= Math.log10(high) + 1e-9; k++) ks.push(k);
  return ks;
}

/**
 * @typedef {object} Pad
 * @property {Landscape | null} landscape
 * @property {OffscreenCanvas | null} shade
 * @property {number} alpha
 * @property {number} lambda
 * @property {number | null | undefined} ceiling
 * @property {boolean} exact
 * @property {{ alpha: Pair, lambda: Pair }} range
 */

/** @param {Surface} surface @param {Scale} scale @param {Pad} pad @param {Theme} theme */
export function drawPad({ pen, w, h }, scale, { landscape, shade, alpha, lambda, ceiling, exact, range }, theme) {
  const { left, top, width, height } = scale;
  const [right, bottom] = [left + width, top + height];
  pen.clearRect(0, 0, w, h);
  pen.fillStyle = css(theme.track);
  pen.fillRect(left, top, width, height);
  if (shade) pen.drawImage(shade, left, top, width, height);
  for (const k of decades(range.alpha)) {
    line(pen, css(theme.text, 0.12), 1, scale.x(10 ** k), top, scale.x(10 ** k), bottom);
    write(pen, power(k), scale.x(10 ** k), bottom + 15, css(theme.muted), theme.font(12), "center");
  }
  for (const k of decades(range.lambda)) {
    line(pen, css(theme.text, 0.12), 1, left, scale.y(10 ** k), right, scale.y(10 ** k));
    write(pen, power(k), left - 5, Math.max(scale.y(10 ** k) + 4, 12), css(theme.muted), theme.font(12), "right");
  }
  write(pen, "α →", right - 34, bottom + 15, css(theme.text), theme.font(13, 600), "right");
  write(pen, "λ ↑", left - 5, top + height * 0.3, css(theme.text), theme.font(13, 600), "right");
  landscape?.cells.forEach((_, index) => {
    const { alphas, lambdas } = landscape;
    const [x, y] = [scale.x(alphas[Math.floor(index / lambdas.length)]), scale.y(lambdas[index % lambdas.length])];
    disc(pen, x, y, 1.8, { fill: css(theme.text, 0.75) });
  });
  if (ceiling && ceiling > range.alpha[0] && ceiling <= range.alpha[1]) drawCeiling(pen, scale, ceiling, theme);
  const [x, y] = [scale.x(alpha), scale.y(lambda)];
  line(pen, css(theme.accent, 0.6), 1, x, y + 10, x, bottom);
  line(pen, css(theme.accent, 0.6), 1, left, y, x - 10, y);
  disc(pen, x, y, 9, { stroke: css(theme.ground), width: 6 });
  disc(pen, x, y, 9, { stroke: css(theme.accent), width: 3 });
  if (exact) disc(pen, x, y, 3.5, { fill: css(theme.accent), stroke: css(theme.ground) });
}

/** @param {Pen} pen @param {Scale} scale @param {number} ceiling @param {Theme} theme */
function drawCeiling(pen, scale, ceiling, theme) {
  const { left, top, width, height } = scale;
  const right = left + width;
  const x = scale.x(ceiling);
  line(pen, css(theme.text), 1.5, x, top, x, top + height, [5, 4]);
  const phrases = [`ceiling 1/ρ = ${+short(ceiling)}: nothing selected beyond`, `ceiling 1/ρ = ${+short(ceiling)}`];
  face(pen, theme.font(12, 500));
  const room = Math.max(x - left, right - x) - 14;
  const label = phrases.find((text) => pen.measureText(text).width < room) ?? phrases[1];
  const onLeft = x - left > right - x;
  const length = pen.measureText(label).width;
  pen.fillStyle = css(theme.ground, 0.85); // the shade behind may be of any lightness
  pen.fillRect(onLeft ? x - length - 11 : x + 3, top + 4, length + 8, 18);
  write(pen, label, onLeft ? x - 7 : x + 7, top + 17, css(theme.text), theme.font(12, 500), onLeft ? "right" : "left");
}
