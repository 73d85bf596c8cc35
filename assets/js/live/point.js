/* Where the view is: whether exact numbers belong to it, and how it gets from one to the next. */

import { same } from "../maths.js";
import { redraw } from "../mount.js";
import { released } from "../release.js";

/** @import { Point } from "../types" */
/** @import { Live, LiveData } from "./types" */

const GLIDE = 150; // ms
export const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Whether the method has neither α nor λ, so that there is nothing to drag.
 * @param {Pick<LiveData, "alpha" | "lambda">} data
 */
export const isStill = (data) => data.alpha === null && data.lambda === null;

/** @param {Live} state */
export const isExact = (state) =>
  state.still ? !!state.data.settled : same(/** @type {Point | null} */ (state.data.settled), state);

/** @param {Live} state */
export const hasOutcome = (state) => !!state.outcome && isExact(state) && state.outcome.url === state.data.outcome;

/** How far what is shown has come from the last outcome to this one, in 0..1. @param {Live} state */
export function glided(state) {
  if (!state.glide) return 1;
  const t = Math.min((performance.now() - state.glide.start) / GLIDE, 1);
  if (t < 1) redraw(state);
  else state.glide = null;
  return 1 - (1 - t) ** 2;
}

/** @param {Live} state @param {Partial<Point>} to */
export function move(state, to) {
  Object.assign(state, to);
  redraw(state);
}

/** @param {Live} state */
export function commit(state) {
  if (released(state, { alpha: state.alpha, lambda: state.lambda })) state.describing = true;
}
