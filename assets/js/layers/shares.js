/* Pure maths of the layers view. Tests: tests/ui/test_layers.py. */

import { percent } from "../words.js";

/** @import { Layer } from "../types" */

export const GROUPED = 4; // bins of the histogram in one step of a row: 12 a decade

/**
 * Selected share of every kind and of every layer: [[kind, share], ...] in order of first appearance.
 * @param {Pick<Layer, "kind" | "size">[]} layers @param {ArrayLike<number>} share
 * @returns {[string, number][]}
 */
export function kindShares(layers, share) {
  /** @type {Map<string, [number, number]>} */
  const found = new Map();
  layers.forEach(({ kind, size }, l) => {
    const [weights, chosen] = found.get(kind) ?? [0, 0];
    found.set(kind, [weights + size, chosen + share[l] * size]);
  });
  return [...found].map(([kind, [weights, chosen]]) => [kind, chosen / weights]);
}

/** A share in words, told from 0 where it is not. @param {number} share */
export const shareText = (share) => (share > 0 && share < 0.0005 ? `<${percent(0.001)}` : percent(share));

/**
 * Heights of a layer's steps in 0..1, under a square root so that what lies near α is seen; the widest step is 1.
 * The outermost bins also hold what lies beyond the range: they must not set the scale.
 * @param {ArrayLike<number>} counts @param {number} layer @param {number} bins
 */
export function rowSteps(counts, layer, bins, grouped = GROUPED) {
  const steps = new Float64Array(Math.ceil(bins / grouped));
  for (let b = 0; b < bins; b++) steps[Math.floor(b / grouped)] += counts[layer * bins + b];
  const most = Math.max(...steps.subarray(1, -1)) || Math.max(...steps) || 1;
  return steps.map((count) => Math.sqrt(Math.min(count / most, 1)));
}
