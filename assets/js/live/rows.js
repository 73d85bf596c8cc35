/* One row for each layer: a heatmap of its importance ratios, or a bar for how far it moved. */

import { face, line, write } from "../canvas.js";
import { css, mix } from "../theme.js";
import { percent, power } from "../words.js";
import { CHANGE, changePlace, changeText } from "./change.js";

/** @import { Answers, Pair, Sums, Surface, Theme } from "../types" */
/** @import { HeatRows, Rows, SceneBlob } from "./types" */

/**
 * Where rows, names and numbers of the layers stand: the same in the heatmap and in the bars.
 * @param {Surface} surface @param {SceneBlob} scene @param {Theme} theme
 * @returns {Rows}
 */
export function rowsLayout({ pen, w, h }, scene, theme) {
  const { layers } = scene.header;
  const names = layers.map((layer) => layer.name.replace(/\.weight$/, ""));
  const row = Math.min((h - 38) / layers.length, 24);
  face(pen, theme.font(12));
  const labels = Math.min(Math.max(...names.map((name) => pen.measureText(name).width)), 0.26 * w);
  const shorten = (/** @type {string} */ name) => {
    let text = name;
    for (let cut = 1; pen.measureText(text).width > labels && cut < name.length; cut++) text = `…${name.slice(cut)}`;
    return text;
  };
  const left = labels + 20;
  return { row, left, width: w - left - 76, top: 20, every: Math.ceil(11 / row), labels: names.map(shorten) };
}

/** The part of a row that is inked. @param {number} row */
const inked = (row) => (row > 4 ? row - 1.5 : row);

/**
 * One layer's kind, name and number, beside what is drawn of it.
 * @param {Surface} surface @param {Rows} rows @param {SceneBlob} scene @param {number} l the layer
 * @param {string} number @param {number} right where the number ends @param {Theme} theme
 */
function writeRow({ pen }, { row, top, every, labels }, scene, l, number, right, theme) {
  if (l % every) return;
  const base = top + l * row + inked(row) / 2 + 4;
  const text = theme.font(12);
  write(pen, scene.header.layers[l].kind.slice(0, 1).toUpperCase(), 0, base, css(theme.muted), text);
  write(pen, labels[l], 14, base, css(theme.text), text);
  write(pen, number, right, base, css(theme.text), text, "right");
}

/**
 * Geometry and ink of the heatmap that stay the same while dragging.
 * @param {Surface} surface @param {SceneBlob} scene @param {Sums} sums @param {Pair} domain @param {Theme} theme
 * @returns {HeatRows}
 */
export function heatLayout(surface, scene, sums, domain, theme) {
  const rows = rowsLayout(surface, scene, theme);
  const { left, width } = rows;
  const bins = sums.bins;
  const ink = new Uint8Array(sums.layers * bins);
  const dense = scene.arrays.counts.map((count, i) => count / sums.size[Math.floor(i / bins)]);
  // The outermost bins also hold what lies beyond the range: they must not set the scale.
  const most = dense.reduce((a, d, i) => (i % bins === 0 || i % bins === bins - 1 ? a : Math.max(a, d)), 0) || 1;
  dense.forEach((d, i) => {
    ink[i] = d ? 25 + 230 * Math.sqrt(Math.min(d / most, 1)) : 0; // 25: no weight is invisible
  });
  const first = Math.max((domain[0] - sums.low) / sums.step, 0);
  const last = Math.min((domain[1] - sums.low) / sums.step, bins);
  const x = (/** @type {number} */ log) => left + ((log - domain[0]) / (domain[1] - domain[0])) * width;
  return { ...rows, x, first, last, ink, canvas: new OffscreenCanvas(bins, sums.layers) };
}

/**
 * Fills the layout's canvas, a pixel for each bin. The colour of a column depends on r only: one table of 256 colours,
 * then one pass over the pixels.
 * @param {HeatRows} layout @param {Sums} sums @param {number} alpha @param {number} lambda @param {Theme} theme
 */
function inkHeat(layout, { bins, layers, low, step }, alpha, lambda, theme) {
  const colours = new Uint32Array(bins);
  for (let b = 0; b < bins; b++) {
    const ratio = 10 ** (low + (b + 0.5) * step);
    const damped = mix(theme.weak, theme.strong, 1 - Math.min(lambda / ratio, 1));
    const [red, green, blue] = ratio > alpha ? damped : theme.untouched;
    colours[b] = red | (green << 8) | (blue << 16);
  }
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (layout.canvas.getContext("2d"));
  const pixels = (layout.pixels ??= pen.createImageData(bins, layers));
  const words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = (layout.ink[i] << 24) | colours[i % bins];
  pen.putImageData(pixels, 0, 0);
}

/**
 * @param {Surface} surface @param {HeatRows} layout @param {SceneBlob} scene @param {Sums} sums
 * @param {Answers} answers
 * @param {{ alpha: number, lambda: number, ceiling: number | null, domain: Pair }} at @param {Theme} theme
 */
export function drawHeat(surface, layout, scene, sums, answers, { alpha, lambda, ceiling, domain }, theme) {
  const { pen, w, h } = surface;
  const { row, left, width, top, x, canvas } = layout;
  const { layers, low, step } = sums;
  inkHeat(layout, sums, alpha, lambda, theme);
  pen.clearRect(0, 0, w, h);
  const bottom = top + layers * row;
  const [from, to] = [x(low + layout.first * step), x(low + layout.last * step)];
  const bar = left + width + 8;
  const text = theme.font(12);
  const height = inked(row);
  for (let l = 0; l < layers; l++) {
    const y = top + l * row;
    pen.fillStyle = css(theme.track, 0.6);
    pen.fillRect(left, y, width, height);
    pen.drawImage(canvas, layout.first, l, layout.last - layout.first, 1, from, y, to - from, height);
    pen.fillStyle = css(theme.accent, 0.35);
    pen.fillRect(bar, y, 54 * Math.sqrt(answers.share[l]), height);
    pen.fillStyle = css(mix(theme.track, theme.strong, Math.sqrt(1 - Math.min(answers.multiplier[l], 1))));
    pen.fillRect(w - 10, y, 10, height);
    writeRow(surface, layout, scene, l, percent(answers.share[l]), bar + 54, theme);
  }
  for (let k = Math.ceil(domain[0]), lastX = -99; k <= domain[1]; k++) {
    if (x(k) - lastX < 30) continue;
    line(pen, css(theme.grid), 1, x(k), bottom, x(k), bottom + 3);
    write(pen, power(k), x(k), bottom + 15, css(theme.muted), text, "center");
    lastX = x(k);
  }
  write(pen, "r", left - 18, bottom + 15, css(theme.muted), theme.font(12, 600), "right");
  write(pen, "selected", w, 13, css(theme.muted), text, "right");
  if (ceiling) line(pen, css(theme.text), 1, x(Math.log10(ceiling)), top, x(Math.log10(ceiling)), bottom, [4, 3]);
  const cut = Math.min(x(Math.log10(alpha)), left + width); // beyond the drawn range lies next to nothing to cut
  line(pen, css(theme.text), 2, cut, top - 3, cut, bottom);
  write(pen, "α", cut, 13, css(theme.text), theme.font(13, 600), "center");
}

/**
 * One bar per layer to its place (0..1) on the axis of relative change; `change` is null while it is not known.
 * @param {Surface} surface @param {Rows} layout @param {SceneBlob} scene @param {Float64Array} places
 * @param {Float32Array | null} change @param {Theme} theme
 */
export function drawBars(surface, layout, scene, places, change, theme) {
  const { pen, w, h } = surface;
  const { row, left, width, top } = layout;
  const [layers, text, height] = [places.length, theme.font(12), inked(row)];
  const bottom = top + layers * row;
  pen.clearRect(0, 0, w, h);
  pen.fillStyle = css(theme.track, 0.6);
  for (let l = 0; l < layers; l++) pen.fillRect(left, top + l * row, width, height);
  for (let k = CHANGE[0], lastX = -99; k <= CHANGE[1]; k++) {
    const x = left + changePlace(10 ** k) * width;
    line(pen, css(theme.grid), 1, x, top, x, bottom + 3);
    if (x - lastX < 48) continue;
    write(pen, percent(10 ** k, k < -2 ? 1 : 0), x, bottom + 15, css(theme.muted), text, "center");
    lastX = x;
  }
  for (let l = 0; l < layers; l++) {
    const [y, end] = [top + l * row, left + places[l] * width];
    pen.fillStyle = css(theme.accent, change ? 0.85 : 0.3);
    pen.fillRect(left, y, end - left, height);
    if (change && change[l] > 10 ** CHANGE[1]) {
      pen.beginPath(); // longer than the axis: an arrow
      pen.moveTo(end + 2, y);
      pen.lineTo(end + 2 + Math.min(height, 9), y + height / 2);
      pen.lineTo(end + 2, y + height);
      pen.fill();
    }
    writeRow(surface, layout, scene, l, change ? changeText(change[l]) : "", w, theme);
  }
  write(pen, "moved by", w, 13, css(theme.muted), text, "right");
}
