/* Pure maths of the landscape: evaluated points, and what is read between them. Tests: tests/ui/test_live_maths.py. */

import { mean } from "../maths.js";

/** @import { Gauge, Landscape, PointsBlob, Spot } from "./types" */

/**
 * The evaluated points of the α × λ grid: cells[ia * lambdas.length + il], undefined until evaluated.
 * @param {number[]} alphas @param {number[]} lambdas
 * @returns {Landscape}
 */
export function emptyLandscape(alphas, lambdas) {
  return { alphas, lambdas, cells: new Array(alphas.length * lambdas.length), held: 0, total: 0, complete: false };
}

/** Adds a "points" blob, which may repeat points already held. @param {Landscape} landscape @param {PointsBlob} blob */
export function addPoints(landscape, { header, arrays }) {
  const { index, gauges, xy, klass } = arrays;
  const points = index.length;
  const slice = (/** @type {Float32Array | Uint8Array} */ array, /** @type {number} */ p) =>
    array.subarray((p * array.length) / points, ((p + 1) * array.length) / points);
  for (let p = 0; p < points; p++) {
    landscape.cells[index[p]] = { gauges: slice(gauges, p), xy: slice(xy, p), klass: slice(klass, p) };
  }
  landscape.held = header.from + points;
  landscape.total = header.total;
  landscape.complete = header.complete;
  return landscape;
}

/**
 * Where value stands between two of the grid's stops `stride` apart, on a log scale: [low, high, fraction].
 * @param {number[]} stops @param {number} value @param {number} stride
 */
function between(stops, value, stride) {
  let i = 0;
  while (i + 2 < stops.length && value >= stops[i + 1] * (1 - 1e-9)) i++; // 1e-9: JSON and float32 round differently
  const low = Math.floor(i / stride) * stride;
  const high = Math.min(low + stride, stops.length - 1);
  if (high <= low) return [low, low, 0];
  const fraction = Math.log(value / stops[low]) / Math.log(stops[high] / stops[low]);
  const clean = Math.abs(fraction - Math.round(fraction)) < 1e-7 ? Math.round(fraction) : fraction;
  return [low, high, Math.min(Math.max(clean, 0), 1)];
}

/**
 * The evaluated points that stand for (α, λ), bilinear in (log α, log λ): { corners, weights }, or null if none is.
 * The grid fills coarse to fine: the smallest complete cell wins, else the nearest point. Corners that would weigh
 * nothing need not be evaluated, so a point of the grid is reproduced exactly as soon as it is there.
 * @param {Landscape} landscape @param {number} alpha @param {number} lambda
 * @returns {Spot | null}
 */
export function locate(landscape, alpha, lambda) {
  const { alphas, lambdas, cells } = landscape;
  for (const stride of [1, 2, 4]) {
    const [a0, a1, u] = between(alphas, alpha, stride);
    const [l0, l1, v] = between(lambdas, lambda, stride);
    const around = [[a0, l0, (1 - u) * (1 - v)], [a1, l0, u * (1 - v)], [a0, l1, (1 - u) * v], [a1, l1, u * v]];
    const corners = [];
    const weights = [];
    for (const [a, l, weight] of around) {
      if (!(weight > 0)) continue;
      corners.push(a * lambdas.length + l);
      weights.push(weight);
    }
    if (corners.every((corner) => cells[corner])) return { corners, weights };
  }
  let nearest = -1;
  let best = Infinity;
  cells.forEach((_, index) => {
    const a = alphas[Math.floor(index / lambdas.length)];
    const far = Math.hypot(Math.log(a / alpha), Math.log(lambdas[index % lambdas.length] / lambda));
    if (far < best) [nearest, best] = [index, far];
  });
  return nearest < 0 ? null : { corners: [nearest], weights: [1] };
}

/**
 * Weighted mean of one field of the corners ("gauges", or "xy" with scale 1/255 for map coordinates in 0..1).
 * @template {Float32Array | Float64Array | number[]} T
 * @param {Landscape} landscape @param {Spot} spot @param {"gauges" | "xy"} field @param {T} out @param {number} [scale]
 */
export function blend(landscape, { corners, weights }, field, out, scale = 1) {
  const parts = corners.map((corner) => landscape.cells[corner][field]);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let c = 0; c < parts.length; c++) sum += weights[c] * parts[c][i];
    out[i] = sum * scale;
  }
  return out;
}

/** The corner that weighs most: classes cannot be averaged, so they are taken from there. @param {Spot} spot */
export function nearestCorner({ corners, weights }) {
  return corners[weights.indexOf(Math.max(...weights))];
}

/**
 * How far from retraining, in 0..1: the worse of forget and retain accuracy. Null without a retrained reference.
 * @param {Pick<Gauge, "id" | "retrained">[]} gauges @param {ArrayLike<number>} values
 */
export function distance(gauges, values) {
  /** @type {number | null} */
  let worst = null;
  gauges.forEach((gauge, g) => {
    if (!["forget", "retain"].includes(gauge.id) || !gauge.retrained?.length) return;
    worst = Math.max(worst ?? 0, Math.abs(values[g] - mean(gauge.retrained)));
  });
  return /** @type {number | null} */ (worst);
}
