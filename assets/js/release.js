/* A point that is dragged in the browser and settled by the server. */

import { same } from "./maths.js";
import { redraw } from "./mount.js";

/** @import { Draggable, Point } from "./types" */

/**
 * Hears where the point is by the server's account; returns whether to go there.
 * @param {Draggable} view @param {Point} told
 * @param {boolean} left whether the scene is left, or about to be: then a drag on it counts for nothing
 */
export function heard(view, told, left) {
  if (left) {
    Object.assign(view, { told, committed: told, awaited: [], dragging: false, held: false });
    return true;
  }
  if (same(told, view.told)) return false;
  const first = !view.told;
  view.told = told;
  // The echo of an own move must not drag a newer one back; anything else (preset, undo) is obeyed.
  const echo = view.awaited.findIndex((point) => same(point, told));
  if (echo >= 0) {
    view.awaited.splice(0, echo + 1);
    return false;
  }
  view.awaited = [];
  view.committed = told;
  return !view.dragging || first;
}

/**
 * The release: one message, only if the point has changed; returns whether it was sent. The time makes each message
 * differ from the last, so that Streamlit's on_change also fires for a return to a point that was left by a preset.
 * @param {Draggable} view @param {Point} point
 */
export function released(view, point) {
  redraw(view);
  if (view.dragging || same(point, view.committed)) return false;
  view.committed = point;
  view.awaited.push(point);
  view.component.setStateValue("point", { ...point, scene: view.data.key, at: Date.now() });
  return true;
}
