/* The attacker's threshold: a dot for each image, the errors on the same axis, and the images themselves, all redrawn
 * in the browser while the threshold is dragged.
 */

import { copyOf, surfaceOf } from "../canvas.js";
import { drawn, mounted, redraw, whenLeft } from "../mount.js";
import { colour, themeOf } from "../theme.js";
import { BINS, dotAt, drawAttack, drawBackdrop, layoutOf } from "./drawing.js";
import { ascending, bestThreshold, errorsAt, stacked, thresholdAtRate } from "./errors.js";
import { PAGE, part, pick, showCard, tell, tellAims } from "./tell.js";

/** @import { View } from "../types" */
/** @import { Attack, AttackData, Both, Dot } from "./types" */

export default mounted(".lacuna-attack", make, take, draw);

/** @param {View<AttackData>} bare @returns {Attack} */
function make(bare) {
  bare.root.innerHTML = PAGE;
  const canvas = /** @type {HTMLCanvasElement} */ (bare.$("[data-testid=attack]"));
  const state = Object.assign(/** @type {Attack} */ (bare), { canvas, picked: null });
  wirePointer(state);
  canvas.onkeydown = (event) => {
    const step = (state.layout.high - state.layout.low) / 200;
    /** @type {Record<string, number>} */
    const moves = {
      ArrowUp: step, ArrowRight: step, ArrowDown: -step, ArrowLeft: -step, PageUp: 10 * step, PageDown: -10 * step,
      Home: -Infinity, End: Infinity,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    aim(state, state.threshold + moves[event.key]);
  };
  part(state, "best").onclick = () => aim(state, state.best.threshold);
  part(state, "low").onclick = () => aim(state, state.low.threshold);
  part(state, "worst").onclick = () => {
    if (state.data.worst.active) aim(state, state.best.threshold);
    else state.component.setTriggerValue("worst", true);
  };
  whenLeft(state, () => [state.root], () => pick(state, null));
  return state;
}

/** @param {Attack} state */
function wirePointer(state) {
  const { canvas } = state;
  /** @type {PointerEvent | null} */
  let start = null;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    start = event;
  };
  canvas.onpointermove = (event) => {
    if (!start) return;
    if (!state.dragging && Math.abs(event.clientY - start.clientY) < 3) return;
    state.dragging = true;
    aim(state, state.layout.value(event.offsetY));
  };
  canvas.onpointerup = (event) => {
    const dot = state.dragging ? null : nearestDot(state, event);
    if (dot) pick(state, dot);
    else aim(state, state.layout.value(event.offsetY));
    start = null;
    state.dragging = false;
  };
  canvas.onpointercancel = () => {
    start = null;
    state.dragging = false;
  };
}

/** @param {Attack} state @param {PointerEvent} event */
function nearestDot(state, event) {
  /** @type {Dot | null} */
  let found = null;
  let best = Math.max(state.layout.radius + 3, 6);
  for (const [side, group] of [state.data.members, state.data.others].entries()) {
    for (const i of group.value.keys()) {
      const [x, y] = dotAt(state.layout, state.wings, side, i);
      const gap = Math.hypot(x - event.offsetX, y - event.offsetY);
      if (gap < best) [found, best] = [{ side, i }, gap];
    }
  }
  return found;
}

/** New data or theme from the server; the threshold stays unless it is another attack. @param {Attack} state */
function take(state) {
  const { data } = state;
  const both = (/** @type {Both} */ { members, others }) =>
    ({ members: ascending(members), others: ascending(others) });
  state.groups = both({ members: data.members.value, others: data.others.value });
  state.original = both(data.original);
  state.seeds = data.retrained.map(both);
  state.best = bestThreshold(state.groups);
  state.low = thresholdAtRate(state.groups, 0.01);
  state.wings = [data.members, data.others].map((group) => stacked(group.value, data.domain, BINS));
  if (data.key !== state.key) {
    Object.assign(state, { key: data.key, picked: null, threshold: limited(data, state.best.threshold) });
    part(state, "card").hidden = true;
  }
  tellAims(state);
  state.stale = true;
  redraw(state);
}

/** @param {AttackData} data @param {number} value */
const limited = ({ domain: [low, high] }, value) => Math.min(Math.max(value, low), high + (high - low) / 200);

/** @param {Attack} state @param {number} threshold */
function aim(state, threshold) {
  state.threshold = limited(state.data, threshold);
  redraw(state);
}

/** @param {Attack} state */
function draw(state) {
  if (state.stale) {
    state.stale = false;
    state.theme = themeOf(state.root, state.data.palette, 0);
    colour(state.root, state.theme, ["accent", "original", "retrained"]);
    state.surface = surfaceOf(state.canvas);
    state.layout = layoutOf(state.surface, state.data.domain, state.wings);
    drawBackdrop(state);
    state.backdrop = copyOf(state.surface);
  }
  state.errors = errorsAt(state.groups, state.threshold);
  drawAttack(state);
  tell(state);
  if (state.picked) showCard(state, state.picked);
  drawn(state);
}
