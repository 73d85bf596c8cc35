/* Pointer and keyboard of one panel. */

import { redraw } from "../mount.js";
import { pointAt, within } from "./geometry.js";
import { say } from "./tell.js";

/** @import { Embedding, Panel, Role } from "./types" */

const CATCH = 12; // px within which a pointer means a point
/** @type {Record<string, number>} */
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** The rows of the chosen group. @param {Embedding} state */
export function rowsOf({ map, data }) {
  if (!map) return [];
  const { groups, n } = map.header;
  const start = groups.indexOf(data.group) * n;
  return Array.from({ length: n }, (_, i) => i).filter((i) => map.arrays.group[start + i]);
}

/** @param {Embedding} state @param {number} i */
export function pin(state, i) {
  if (state.pinned < 0 && i < 0) return;
  state.pinned = i;
  if (i >= 0) say(state, i);
  redraw(state);
}

/** @param {Embedding} state @param {Panel} panel @param {number} x @param {number} y */
function nearestTo(state, panel, x, y) {
  let [nearest, best] = [-1, CATCH];
  for (let i = 0; i < (state.map?.header.n ?? 0); i++) {
    if (!state.focus[i]) continue;
    const [px, py] = pointAt(panel.surface, state.part, panel.shown, i);
    const gap = Math.hypot(px - x, py - y);
    if (gap < best) [nearest, best] = [i, gap];
  }
  return nearest;
}

/** @param {Embedding} state @param {Role} role @param {(chosen: number[]) => void} select @returns {Panel} */
export function wire(state, role, select) {
  const section = state.$(`[data-role=${role}]`);
  const canvas = /** @type {HTMLCanvasElement} */ (section.querySelector("canvas"));
  const panel = /** @type {Panel} */ ({ role, canvas, aside: section.querySelector(".aside") });
  wirePointer(state, panel, select);
  canvas.onkeydown = (event) => {
    if (event.key in STEPS && step(state, STEPS[event.key])) event.preventDefault();
    else if ((event.key === "Enter" || event.key === " ") && state.hovered >= 0) {
      pin(state, state.hovered);
      event.preventDefault();
    }
  };
  return panel;
}

/** Goes to the next or the last image of the group, if it has any. @param {Embedding} state @param {number} by */
function step(state, by) {
  const all = rowsOf(state);
  if (!all.length) return false;
  const now = all.indexOf(state.pinned >= 0 ? state.pinned : state.hovered);
  const next = all[now < 0 ? 0 : (now + by + all.length) % all.length];
  if (state.pinned >= 0) pin(state, next);
  else {
    state.hovered = next;
    say(state, next);
    redraw(state);
  }
  return true;
}

/** @param {Embedding} state @param {Panel} panel @param {(chosen: number[]) => void} select */
function wirePointer(state, panel, select) {
  const { canvas } = panel;
  canvas.onpointerdown = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    state.drag = { panel, path: [[event.offsetX, event.offsetY]], wide: false };
  };
  canvas.onpointermove = (event) => {
    const { drag } = state;
    if (drag) {
      const [x, y] = drag.path[0];
      drag.wide ||= Math.hypot(event.offsetX - x, event.offsetY - y) > 6;
      if (drag.wide) {
        drag.path.push([event.offsetX, event.offsetY]);
        state.hovered = -1;
      }
    } else state.hovered = nearestTo(state, panel, event.offsetX, event.offsetY);
    redraw(state);
  };
  canvas.onpointerup = (event) => {
    const { drag } = state;
    state.drag = null;
    if (!drag) return;
    if (!drag.wide) return pin(state, nearestTo(state, panel, event.offsetX, event.offsetY));
    const { surface, shown } = panel;
    select(rowsOf(state).filter((i) => within(drag.path, ...pointAt(surface, state.part, shown, i))));
  };
  canvas.onpointercancel = () => {
    state.drag = null;
    redraw(state);
  };
  canvas.onpointerleave = () => {
    if (state.drag) return;
    state.hovered = -1;
    redraw(state);
  };
}
