/* Pure maths of how far layers moved. Tests: tests/ui/test_live_maths.py. */

import { percent } from "../words.js";

/** log10 of the smallest and largest relative weight change that is drawn. */
export const CHANGE = [-3, 1];

/**
 * Where a relative weight change stands on its logarithmic axis, in 0..1: 0 up to its lower end, 1 from its upper.
 * @param {number} change
 */
export function changePlace(change) {
  const place = (Math.log10(change) - CHANGE[0]) / (CHANGE[1] - CHANGE[0]);
  return Number.isNaN(place) ? 0 : Math.min(Math.max(place, 0), 1);
}

/**
 * A relative weight change in words: per cent with two digits, "0" if the layer did not move.
 * @param {number} change
 */
export function changeText(change) {
  if (!Number.isFinite(change)) return change === Infinity ? "∞" : "–";
  if (change < 10 ** CHANGE[0]) return change > 0 ? `<${percent(10 ** CHANGE[0])}` : "0";
  return percent(change, change < 0.00995 ? 2 : change < 0.0995 ? 1 : 0);
}

/**
 * The k layers that moved most, most first; those that did not move, or not to a number, are left out.
 * @param {ArrayLike<number>} change @returns {number[]}
 */
export function mostChanged(change, k = 3) {
  return Array.from(change, (_, l) => l).filter((l) => change[l] > 0).sort((a, b) => change[b] - change[a]).slice(0, k);
}
