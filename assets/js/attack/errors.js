/* Pure maths of the attacker's threshold. Tests: tests/audit/test_privacy.py. */

/** @import { Pair } from "../types" */
/** @import { Both, Errors, Wing } from "./types" */

/** @param {ArrayLike<number>} values */
export const ascending = (values) => Float64Array.from(values).sort();

/**
 * How many of the ascending values are at least the threshold.
 * @param {Float64Array} sorted @param {number} threshold
 */
export function atLeast(sorted, threshold) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < threshold) low = middle + 1;
    else high = middle;
  }
  return sorted.length - low;
}

/**
 * The errors of "a member if at least the threshold"; both groups ascending.
 * @param {Both<Float64Array>} groups @param {number} threshold
 * @returns {Errors}
 */
export function errorsAt({ members, others }, threshold) {
  const fpr = atLeast(others, threshold) / others.length;
  const fnr = 1 - atLeast(members, threshold) / members.length;
  return { fpr, fnr, balanced: 1 - (fpr + fnr) / 2 };
}

/**
 * The thresholds worth trying, falling: none is called a member, then one distinct value after another.
 * @param {Both<Float64Array>} groups
 */
const candidates = ({ members, others }) =>
  [Infinity, ...[...new Set([...members, ...others])].sort((a, b) => b - a)];

/** Where the balanced accuracy is best; the highest such threshold. @param {Both<Float64Array>} groups */
export function bestThreshold(groups) {
  let best = { threshold: Infinity, balanced: 0.5 };
  for (const threshold of candidates(groups)) {
    const { balanced } = errorsAt(groups, threshold);
    if (balanced > best.balanced + 1e-12) best = { threshold, balanced };
  }
  return best;
}

/**
 * Where most members are found at no more than that false-positive rate.
 * @param {Both<Float64Array>} groups @param {number} rate
 */
export function thresholdAtRate(groups, rate) {
  const allowed = Math.floor(rate * groups.others.length + 1e-9);
  let found = { threshold: Infinity, tpr: 0 };
  for (const threshold of candidates(groups)) {
    if (atLeast(groups.others, threshold) > allowed) break;
    const tpr = atLeast(groups.members, threshold) / groups.members.length;
    if (tpr > found.tpr) found = { threshold, tpr };
  }
  return found;
}

/**
 * Bin and place within the bin (from 1, the highest value first) of each value.
 * @param {number[]} values @param {Pair} domain @param {number} bins
 * @returns {Wing}
 */
export function stacked(values, [low, high], bins) {
  const bin = values.map((v) => Math.min(Math.max(Math.trunc(((v - low) / (high - low)) * bins), 0), bins - 1));
  const taken = new Array(bins).fill(0);
  const place = new Array(values.length);
  for (const i of [...values.keys()].sort((a, b) => values[b] - values[a])) place[i] = ++taken[bin[i]];
  return { bin, place };
}

/**
 * Who is right and who is wrong at a threshold: positions within each group, the surest first.
 * @param {number[]} members @param {number[]} others @param {number} threshold
 */
export function sides(members, others, threshold) {
  /** @param {number[]} values @param {boolean} called @param {boolean} falling */
  const ordered = (values, called, falling) => [...values.keys()].filter((i) => values[i] >= threshold === called)
    .sort((a, b) => (falling ? values[b] - values[a] : values[a] - values[b]));
  return {
    found: ordered(members, true, true), spared: ordered(others, false, false),
    missed: ordered(members, false, false), accused: ordered(others, true, true),
  };
}

/** @param {number[]} values @returns {Pair} */
export const extent = (values) => [Math.min(...values), Math.max(...values)];
