/* The rows of the layers view: ratios, selected share, mean multiplier, and the handle of α above. */

import { face, line, write } from "../canvas.js";
import { css, mix } from "../theme.js";
import { power, short } from "../words.js";
import { GROUPED, rowSteps, shareText } from "./shares.js";

/** @import { Pair, Pen, RGB, Ratios, Sums, Surface } from "../types" */
/** @import { Layers, Loaded, Scale } from "./types" */

/** @type {Record<string, string>} */
const KINDS = {
  convolution: "conv", norm: "norm", linear: "linear", attention: "attn", head: "head", embedding: "embed",
  bias: "bias", other: "other",
};
const ROW = [17, 22]; // px, of many and of few layers
const FOOT = 44;
export const TOP = 34;

/** The height of a row, and of all. @param {number} layers how many */
export function heights(layers) {
  const row = ROW[layers > 40 ? 0 : 1];
  return { row, all: TOP + layers * row + FOOT };
}

/**
 * @param {Surface} surface @param {Ratios} scene @param {Sums} sums @param {Pair} domain @param {string} font
 * @returns {Scale}
 */
export function scaleOf({ pen, w }, scene, sums, domain, font) {
  const { layers } = scene.header;
  const { row } = heights(layers.length);
  face(pen, font);
  const names = layers.map(({ name }) => name.replace(/\.weight$/, ""));
  const left = Math.max(...names.map((name) => pen.measureText(name).width)) + 74;
  const right = w - 214;
  const x = (/** @type {number} */ log) => left + ((log - domain[0]) / (domain[1] - domain[0])) * (right - left);
  const log = (/** @type {number} */ at) => domain[0] + ((at - left) / (right - left)) * (domain[1] - domain[0]);
  const rows = layers.map((_, l) => {
    const [path, base] = [new Path2D(), TOP + (l + 1) * row - 1];
    path.moveTo(left, base);
    rowSteps(scene.arrays.counts, l, sums.bins).forEach((height, s) => {
      const [from, to] = [s, s + 1].map((step) => x(sums.low + step * GROUPED * sums.step));
      if (to <= left || from >= right) return;
      const y = base - (height ? Math.max(height * (row - 3), 1) : 0); // no weight is invisible
      path.lineTo(Math.max(from, left), y);
      path.lineTo(Math.min(to, right), y);
    });
    path.lineTo(right, base);
    path.closePath();
    return path;
  });
  return { row, left, right, x, log, rows, names };
}

/** @param {Layers} view @param {Loaded} loaded @param {boolean} exact */
export function drawRatios(view, loaded, exact) {
  const { left, right, x, row } = loaded.scale;
  const { ceiling, layers } = loaded.scene.header;
  const bottom = TOP + layers.length * row;
  const limit = ceiling ? x(Math.log10(ceiling)) : Infinity;
  const cut = Math.min(Math.max(x(Math.log10(view.alpha)), left), right);
  drawNames(view, loaded);
  if (limit < right) hatch(view, limit, right, bottom);
  drawSteps(view, loaded, cut, bottom);
  drawShares(view, loaded, exact);
  drawAxis(view, loaded, cut, limit, bottom);
}

/** @param {Layers} view @param {Loaded} loaded */
function drawNames({ surface: { pen, w }, theme, data, hovered }, { scene, scale }) {
  const { row, left, right, names } = scale;
  const text = theme.font(14);
  scene.header.layers.forEach(({ name, kind }, l) => {
    const y = TOP + l * row;
    if (name === data.layer || l === hovered) {
      pen.fillStyle = css(theme.text, name === data.layer ? 0.1 : 0.05);
      pen.fillRect(0, y, w, row);
    }
    if (l && data.stages[l] !== data.stages[l - 1]) line(pen, css(theme.text, 0.3), 1, 0, y, w, y);
    const base = y + row / 2 + 5;
    write(pen, KINDS[kind] ?? kind, 4, base, css(theme.muted), text);
    write(pen, names[l], 56, base, css(theme.text), name === data.layer ? theme.font(14, 600) : text);
    line(pen, css(theme.grid), 1, left, y + row - 0.5, right, y + row - 0.5);
  });
}

/** Nothing can lie beyond the ceiling. @param {Layers} view @param {number} limit @param {number} right
 *  @param {number} bottom */
function hatch({ surface: { pen }, theme }, limit, right, bottom) {
  clip(pen, limit, right, bottom);
  for (let at = limit - (bottom - TOP); at < right; at += 9) {
    line(pen, css(theme.text, 0.13), 1, at, bottom, at + bottom - TOP, TOP);
  }
  pen.restore();
}

/** Until pen.restore(), draws between these only. @param {Pen} pen @param {number} from @param {number} to
 *  @param {number} bottom */
function clip(pen, from, to, bottom) {
  pen.save();
  pen.beginPath();
  pen.rect(from, TOP, to - from, bottom - TOP);
  pen.clip();
}

/** @param {Layers} view @param {Loaded} loaded @param {number} cut @param {number} bottom */
function drawSteps({ surface: { pen }, theme, data }, { scale, domain }, cut, bottom) {
  const { right, rows } = scale;
  pen.fillStyle = css(theme.untouched);
  for (const path of rows) pen.fill(path);
  clip(pen, cut, right, bottom);
  const ramp = pen.createLinearGradient(cut, 0, Math.max(right, cut + 1), 0);
  for (let s = 0; s <= 8; s++) {
    const ratio = 10 ** (scale.log(cut) + (s / 8) * (domain[1] - scale.log(cut)));
    ramp.addColorStop(s / 8, css(mix(theme.weak, theme.strong, 1 - Math.min(data.lambda / ratio, 1))));
  }
  pen.fillStyle = ramp;
  for (const path of rows) pen.fill(path);
  pen.restore();
}

/** @param {Layers} view @param {Loaded} loaded @param {boolean} exact */
function drawShares({ surface: { pen, w }, theme }, { scene, scale, answers }, exact) {
  const bar = { left: scale.right + 16, width: 70 };
  const text = theme.font(14);
  scene.header.layers.forEach((_, l) => {
    const y = TOP + l * scale.row + 2;
    pen.fillStyle = css(theme.track);
    pen.fillRect(bar.left, y, bar.width, scale.row - 4);
    pen.fillStyle = css(theme.accent, exact ? 0.85 : 0.5);
    pen.fillRect(bar.left, y, bar.width * Math.min(answers.share[l], 1), scale.row - 4);
    const base = TOP + l * scale.row + scale.row / 2 + 5;
    write(pen, shareText(answers.share[l]), bar.left + bar.width + 60, base, css(theme.text), text, "right");
    write(pen, `×${answers.multiplier[l].toFixed(2)}`, w - 2, base, css(theme.text), text, "right");
  });
  write(pen, "selected", bar.left, TOP - 10, css(theme.muted), text);
  write(pen, "kept", w - 2, TOP - 10, css(theme.muted), text, "right");
}

/**
 * The axis, above and below, since a tall canvas does not fit the screen; above, the handle has priority.
 * @param {Layers} view @param {Loaded} loaded @param {number} cut @param {number} limit @param {number} bottom
 */
function drawAxis({ surface: { pen }, theme, data, alpha }, { scene, scale, domain }, cut, limit, bottom) {
  const { left, right, x } = scale;
  const text = theme.font(14);
  const label = data.alpha.locked ? `α = ${short(alpha)} (set by its rule)` : `◂ α = ${short(alpha)} ▸`;
  face(pen, theme.font(15, 600));
  const width = pen.measureText(label).width + 18;
  const handle = Math.min(Math.max(cut - width / 2, left - 8), right + 8 - width);
  /** @param {string} words @param {number} at @param {RGB} colour @param {string} font */
  const axis = (words, at, colour, font) => {
    write(pen, words, at, bottom + 18, css(colour), font, "center");
    face(pen, font);
    const free = Math.abs(at - handle - width / 2) > width / 2 + pen.measureText(words).width / 2 + 6;
    if (free) write(pen, words, at, TOP - 10, css(colour), font, "center");
  };
  for (let k = Math.ceil(domain[0]); k <= domain[1]; k++) {
    line(pen, css(theme.text, 0.25), 1, x(k), TOP, x(k), bottom + 4);
    if (Math.abs(x(k) - limit) > 44) axis(power(k), x(k), theme.muted, text);
  }
  write(pen, "importance ratio r = I_f / I_D →", right, bottom + 38, css(theme.muted), text, "right");
  if (scene.header.ceiling && limit < right) {
    line(pen, css(theme.text), 1.5, limit, TOP, limit, bottom, [5, 4]);
    axis(`${+short(scene.header.ceiling)} = 1/ρ`, limit, theme.text, theme.font(14, 600));
  }
  line(pen, css(theme.ground), 5, cut, 24, cut, bottom + 3);
  line(pen, css(theme.accent), 2.5, cut, 24, cut, bottom + 3);
  pen.fillStyle = css(theme.accent);
  pen.beginPath();
  pen.roundRect(handle, 1, width, 25, 12);
  pen.fill();
  write(pen, label, handle + width / 2, 19, "#fff", theme.font(15, 600), "center");
}
