/* Pure geometry of the maps. Tests: tests/serving/test_embeddings.py. */

/** @import { Surface } from "../types" */
/** @import { Part } from "./types" */

const INSET = 12;

/** @type {Part} */
export const WHOLE = { left: 0, low: 0, size: 1 };

/** Map units -> pixels, for a panel that shows a part of the map. @param {Pick<Surface, "w" | "h">} surface
 *  @param {Part} part */
export function scaleOf({ w, h }, part) {
  const [sx, sy] = [(w - 2 * INSET) / part.size, (h - 2 * INSET) / part.size];
  return {
    x: (/** @type {number} */ v) => INSET + (v - part.left) * sx,
    y: (/** @type {number} */ v) => h - INSET - (v - part.low) * sy,
  };
}

/**
 * @param {Surface} surface @param {Part} part @param {ArrayLike<number>} xy @param {number} i
 * @returns {[number, number]}
 */
export function pointAt(surface, part, xy, i) {
  const { x, y } = scaleOf(surface, part);
  return [x(xy[2 * i]), y(xy[2 * i + 1])];
}

/**
 * The square part of the map around some of its points in every panel, but for the outermost twentieth.
 * @param {ArrayLike<number>[]} clouds @param {number[]} chosen
 * @returns {Part}
 */
export function partAround(clouds, chosen) {
  const ends = [0, 1].map((axis) => {
    const values = Float32Array.from(clouds.flatMap((xy) => chosen.map((i) => xy[2 * i + axis]))).sort();
    const at = (/** @type {number} */ share) => values[Math.round(share * (values.length - 1))];
    return [at(0.05), at(0.95)];
  });
  const size = Math.min(Math.max(1.1 * Math.max(...ends.map(([low, high]) => high - low)), 0.05), 1);
  const [left, low] = ends.map(([a, b]) => Math.min(Math.max((a + b - size) / 2, 0), 1 - size));
  return { left, low, size };
}

/**
 * Whether a point lies within a closed polygon [[x, y], ...]: an odd number of edges lie to its right.
 * @param {number[][]} polygon @param {number} x @param {number} y
 */
export function within(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) inside = !inside;
  }
  return inside;
}
