/* Pure maths that several views share: importance ratios, ticks, probabilities. Tests: tests/ui/test_live_maths.py. */

/** @import { Answers, OwnAnswers, Pair, Point, Ratios, Sums } from "./types" */

/** @param {number[]} values */
export const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** @param {Point | null} p @param {Point | null} q */
export function same(p, q) {
  if (!p || !q) return false;
  const near = (/** @type {number} */ a, /** @type {number} */ b) => Math.abs(a - b) <= 1e-6 * Math.abs(b);
  return near(p.alpha, q.alpha) && near(p.lambda, q.lambda);
}

/**
 * Per layer: how many weights, and how much of Σ 1/r, lie above each bin edge. Makes any (α, λ) a look-up.
 * @param {Ratios} ratios
 * @returns {Sums}
 */
export function suffixSums({ header, arrays }) {
  const layers = header.layers.length;
  const bins = arrays.counts.length / layers;
  const [low, high] = header.log_ratio;
  const count = new Float64Array(layers * (bins + 1));
  const inverse = new Float64Array(layers * (bins + 1));
  for (let l = 0; l < layers; l++) {
    for (let b = bins - 1; b >= 0; b--) {
      const edge = l * (bins + 1) + b;
      count[edge] = count[edge + 1] + arrays.counts[l * bins + b];
      inverse[edge] = inverse[edge + 1] + arrays.inverse[l * bins + b];
    }
  }
  const size = Float64Array.from(header.layers, (layer) => layer.size);
  return { layers, bins, low, step: (high - low) / bins, size, infinite: arrays.infinite, count, inverse };
}

/**
 * Selected share and mean multiplier of every layer under SSD. A cut bin is split by the fraction of its log-width.
 * @param {Sums} sums @param {number} alpha @param {number} lambda @param {OwnAnswers} [out]
 */
export function layerAnswers(sums, alpha, lambda, out = answersFor(sums.layers)) {
  const place = (/** @type {number} */ r) => Math.min(Math.max((Math.log10(r) - sums.low) / sums.step, 0), sums.bins);
  const above = (/** @type {Float64Array} */ sum, /** @type {number} */ start, /** @type {number} */ p) => {
    const b = Math.min(Math.floor(p), sums.bins - 1);
    return sum[start + b] + (p - b) * (sum[start + b + 1] - sum[start + b]);
  };
  const cut = place(alpha);
  const damped = place(Math.max(alpha, lambda)); // between α and λ a weight is selected but multiplied by 1
  let selected = 0;
  let all = 0;
  for (let l = 0; l < sums.layers; l++) {
    const start = l * (sums.bins + 1);
    const chosen = sums.infinite[l] + above(sums.count, start, cut);
    const lost = sums.infinite[l] + above(sums.count, start, damped) - lambda * above(sums.inverse, start, damped);
    out.share[l] = chosen / sums.size[l];
    out.multiplier[l] = 1 - lost / sums.size[l];
    selected += chosen;
    all += sums.size[l];
  }
  out.total = selected / all;
  return out;
}

/** @param {number} layers @returns {OwnAnswers} */
export function answersFor(layers) {
  return { share: new Float64Array(layers), multiplier: new Float64Array(layers), total: 0 };
}

/** The server's exact answers in place of the histogram's. @param {OwnAnswers} answers @param {Answers} exact */
export function takeExact(answers, exact) {
  answers.share.set(exact.share);
  answers.multiplier.set(exact.multiplier);
  answers.total = exact.total;
}

/** Index of the tick nearest on a log scale. @param {number[]} ticks @param {number} value */
export function nearestTick(ticks, value) {
  const gap = (/** @type {number} */ tick) => Math.abs(Math.log(tick / value));
  return ticks.reduce((best, tick, i) => (gap(tick) < gap(ticks[best]) ? i : best), 0);
}

/**
 * The k classes with the largest of the bytes that code an image's probabilities: [class, probability].
 * @param {Uint8Array} bytes
 */
export function topClasses(bytes, k = 3) {
  return Array.from(bytes, (byte, c) => [c, byte / 255]).sort((a, b) => b[1] - a[1]).slice(0, k);
}

/**
 * Part of a scale that is worth drawing: all but a thousandth of the weights at either end, and all of `keep`.
 * @param {Sums} sums @param {Pair} keep
 * @returns {Pair} as log10
 */
export function ratioDomain(sums, keep) {
  const at = (/** @type {number} */ edge) => {
    let sum = 0;
    for (let l = 0; l < sums.layers; l++) sum += sums.count[l * (sums.bins + 1) + edge];
    return sum;
  };
  const all = at(0);
  let [first, last] = [0, sums.bins];
  while (first < sums.bins - 1 && at(first + 1) > 0.999 * all) first++;
  while (last > first + 1 && at(last - 1) < 0.001 * all) last--;
  const [low, high] = [sums.low + first * sums.step, sums.low + last * sums.step];
  return [Math.min(low, Math.log10(keep[0])), Math.max(high, Math.log10(keep[1]))];
}

/**
 * What is always drawn of the ratios: all of α's ticks but those far above the ceiling.
 * @param {number[]} ticks @param {number | null} ceiling
 * @returns {Pair}
 */
export const ratiosToKeep = (ticks, ceiling) =>
  [ticks[0], Math.min(1.6 * (ceiling ?? Infinity), ticks[ticks.length - 1])];
