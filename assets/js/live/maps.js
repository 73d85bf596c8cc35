/* The map before and after: ● retained, faint; ✖ to be forgotten, on top. Thin and hollow where interpolated. */

import { ring } from "../canvas.js";
import { cross, dot, drawMarks, fill, stroke } from "../cloud.js";
import { css } from "../theme.js";
import { blend, nearestCorner } from "./landscape.js";
import { hasOutcome } from "./point.js";

/** @import { Surface, Theme } from "../types" */
/** @import { Groups, Live, Scene, Spot } from "./types" */

const INSET = 10;

/** @param {Pick<Surface, "w" | "h">} surface @param {ArrayLike<number>} xy @param {number} i */
export const pointAt = ({ w, h }, xy, i) =>
  [INSET + xy[2 * i] * (w - 2 * INSET), INSET + (1 - xy[2 * i + 1]) * (h - 2 * INSET)];

/**
 * @param {Surface} surface @param {ArrayLike<number>} xy @param {ArrayLike<number>} klass @param {Groups} groups
 * @param {boolean} sure @param {Theme} theme
 */
export function drawPoints({ pen, w, h }, xy, klass, { retained, forgotten }, sure, theme) {
  const [sx, sy] = [w - 2 * INSET, h - 2 * INSET];
  const x = (/** @type {number} */ i) => INSET + xy[2 * i] * sx;
  const y = (/** @type {number} */ i) => INSET + (1 - xy[2 * i + 1]) * sy;
  const [radius, arm] = sure ? [2.2, 4] : [1.9, 3.6];
  const halo = css(theme.ground, 0.9);
  pen.clearRect(0, 0, w, h);
  pen.globalAlpha = theme.dark ? 0.5 : 0.4;
  drawMarks(pen, retained, klass, theme.classes, (i) => dot(pen, x(i), y(i), radius), (colour) => {
    if (sure) fill(pen, colour);
    else stroke(pen, colour, 1);
  });
  pen.globalAlpha = 1;
  pen.lineCap = "round";
  drawMarks(pen, forgotten, klass, theme.classes, (i) => cross(pen, x(i), y(i), arm), (colour) => {
    stroke(pen, halo, sure ? 4.6 : 3);
    stroke(pen, colour, sure ? 2.6 : 1.3);
  });
  pen.lineCap = "butt";
}

/**
 * @param {Live} state @param {Scene} scene @param {Spot | null} spot
 * @param {number} eased how far the images have come from the last outcome to this one
 */
export function drawMaps(state, scene, spot, eased) {
  const { surfaces, theme, landscape, outcome, glide } = state;
  const shown = /** @type {Float32Array} */ (state.shown);
  const sure = hasOutcome(state);
  if (sure && outcome) {
    if (eased < 1 && glide) {
      for (let i = 0; i < shown.length; i++) shown[i] = glide.from[i] + eased * (outcome.xy[i] - glide.from[i]);
    } else shown.set(outcome.xy);
    state.klass = outcome.arrays.klass;
  } else if (spot && landscape) {
    state.glide = null;
    blend(landscape, spot, "xy", shown, 1 / 255);
    state.klass = landscape.cells[nearestCorner(spot)].klass;
  }
  const { before, after } = surfaces;
  before.pen.clearRect(0, 0, before.w, before.h);
  if (before.w) before.pen.drawImage(state.backdrop, 0, 0, before.w, before.h);
  drawPoints(after, shown, state.klass, scene.groups, sure, theme);
  const marked = state.pinned >= 0 ? state.pinned : state.hovered;
  if (marked < 0) return;
  for (const [surface, xy] of /** @type {[Surface, Float32Array][]} */ ([[before, scene.xy], [after, shown]])) {
    const [x, y] = pointAt(surface, xy, marked);
    ring(surface.pen, x, y, theme);
  }
}
