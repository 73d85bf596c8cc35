/* Ten seconds in which the point glides by itself from a setting that is too weak over the right one to ruin, and all
 * views with it. Any key and any press stop it; where motion is not wanted, it jumps from one to the next.
 */

import { nearestTick } from "../maths.js";
import { commit, move, REDUCED } from "./point.js";

/** @import { Live, Stage } from "./types" */

const SECONDS = 10;

/**
 * The point at a share of the way through all stages, and the stage that is nearest. It rests a while at each.
 * @param {Stage[]} stages @param {number} t in 0..1 @param {boolean} jumps
 */
export function onTheWay(stages, t, jumps) {
  const last = stages.length - 1;
  const at = jumps ? Math.min(Math.floor(t * stages.length), last) : Math.min(t, 1) * last;
  const i = Math.min(Math.floor(at), last - 1);
  const s = at - i;
  const eased = s * s * s * (s * (6 * s - 15) + 10);
  const between = (/** @type {number} */ a, /** @type {number} */ b) => a * (b / a) ** eased;
  const [from, to] = [stages[i], stages[i + 1]];
  return {
    alpha: between(from.alpha, to.alpha), lambda: between(from.lambda, to.lambda), name: (s < 0.5 ? from : to).name,
  };
}

/** The button; it is there where there is a way to go. @param {Live} state */
export function tellShow(state) {
  const { data, show, still } = state;
  const button = /** @type {HTMLButtonElement} */ (state.$("[data-testid=show]"));
  button.hidden = still || !!data.former || data.show.length < 2 || !!data.alpha?.locked;
  button.textContent = show ? `■ ${show}: any key stops` : "▶ Just show me";
}

/** @param {Live} state */
export function wireShow(state) {
  const button = /** @type {HTMLButtonElement} */ (state.$("[data-testid=show]"));
  const stop = () => state.show && end(state);
  document.addEventListener("keydown", stop, { signal: state.life.signal, capture: true });
  document.addEventListener("pointerdown", stop, { signal: state.life.signal, capture: true });
  button.onclick = (event) => {
    if (performance.now() - state.ended > 400) play(state); // else this very press has stopped it
    event.stopPropagation();
  };
}

/** @param {Live} state */
function play(state) {
  const started = performance.now();
  const stages = state.data.show;
  state.show = stages[0].name;
  const frame = () => {
    const { alpha, lambda } = state.data;
    if (!state.show || state.life.signal.aborted || !alpha || !lambda) return;
    if (state.data.show !== stages && JSON.stringify(state.data.show) !== JSON.stringify(stages)) return end(state);
    const t = (performance.now() - started) / (1000 * SECONDS);
    if (t >= 1) return end(state);
    state.dragging = true; // what the server says meanwhile must not draw the point back
    const { name, ...point } = onTheWay(stages, t, REDUCED.matches);
    state.show = name;
    move(state, point);
    tellShow(state);
    requestAnimationFrame(frame);
  };
  frame();
}

/** Rest at the nearest place on the sliders, and ask what is exact there. @param {Live} state */
function end(state) {
  const { alpha, lambda } = state.data;
  state.show = "";
  state.ended = performance.now();
  state.dragging = false;
  if (alpha && lambda) {
    move(state, {
      alpha: alpha.ticks[nearestTick(alpha.ticks, state.alpha)],
      lambda: lambda.ticks[nearestTick(lambda.ticks, state.lambda)],
    });
    commit(state);
  }
  tellShow(state);
}
