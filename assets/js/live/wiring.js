/* Pointer and keyboard of the live view. */

import { nearestTick } from "../maths.js";
import { redraw, whenLeft } from "../mount.js";
import { hover } from "./card.js";
import { PAGE, SLIDERS } from "./page.js";
import { commit, move } from "./point.js";
import { wireShow } from "./show.js";
import { layerInWords } from "./tell.js";

/** @import { Knob, View } from "../types" */
/** @import { CanvasName, Live, LiveData } from "./types" */

/** @param {View<LiveData>} bare @returns {Live} */
export function make(bare) {
  const { root, $ } = bare;
  root.innerHTML = PAGE;
  const sliders = document.createElement("div");
  sliders.className = "sliders";
  sliders.innerHTML = SLIDERS;
  $(".pad").append(sliders);
  $(".pad h3").insertAdjacentHTML("afterend", '<button type="button" data-testid="show" hidden></button>');
  const canvas = (/** @type {CanvasName} */ name) => /** @type {HTMLCanvasElement} */ ($(`[data-testid=${name}]`));
  const range = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ ($(`[data-testid=${name}]`));
  const state = Object.assign(/** @type {Live} */ (bare), {
    surfaces: {}, notes: {}, awaited: [], show: "", ended: 0, hovered: -1, pinned: -1, told: null, committed: null,
    canvases: { pad: canvas("pad"), heat: canvas("heat"), before: canvas("before"), after: canvas("after") },
    ranges: { alpha: range("alpha"), lambda: range("lambda") },
  });
  wireShow(state);
  wireSliders(state);
  wirePad(state);
  wireMaps(state);
  state.canvases.heat.onpointermove = (event) => {
    const l = state.layout ? Math.floor((event.offsetY - state.layout.top) / state.layout.row) : -1;
    state.canvases.heat.title = layerInWords(state, l);
  };
  return state;
}

/** @param {Live} state */
function wireSliders(state) {
  for (const name of /** @type {const} */ (["alpha", "lambda"])) {
    const range = state.ranges[name];
    range.oninput = () => {
      const knob = state.data[name];
      if (knob) move(state, { [name]: knob.ticks[Number(range.value)] });
    };
    const release = () => {
      state.dragging = false;
      commit(state);
    };
    // A held arrow key fires a change per repeat: for the keyboard, the release of the key is the release.
    range.onkeydown = () => void (state.held = true);
    range.onkeyup = range.onblur = () => {
      state.held = false;
      commit(state);
    };
    range.onpointerdown = () => void (state.dragging = true);
    range.onpointerup = range.onpointercancel = release;
    range.onchange = () => state.held || release();
  }
}

/** @param {Live} state */
function wirePad(state) {
  const { pad } = state.canvases;
  const follow = (/** @type {PointerEvent} */ event) => {
    const { alpha, lambda } = state.data;
    if (!alpha || !lambda) return;
    const snap = (/** @type {Knob} */ { ticks, locked }, /** @type {number} */ value, /** @type {number} */ now) =>
      (locked ? now : ticks[nearestTick(ticks, value)]);
    move(state, {
      alpha: snap(alpha, state.scale.alpha(event.offsetX), state.alpha),
      lambda: snap(lambda, state.scale.lambda(event.offsetY), state.lambda),
    });
  };
  pad.onpointerdown = (event) => {
    pad.setPointerCapture(event.pointerId);
    state.dragging = true;
    follow(event);
  };
  pad.onpointermove = (event) => {
    if (state.dragging && pad.hasPointerCapture(event.pointerId)) follow(event);
  };
  pad.onpointerup = pad.onpointercancel = () => {
    state.dragging = false;
    commit(state);
  };
}

/** @param {Live} state */
function wireMaps(state) {
  for (const name of /** @type {const} */ (["before", "after"])) {
    const canvas = state.canvases[name];
    canvas.onpointermove = (event) => hover(state, name, event);
    canvas.onpointerleave = () => {
      state.hovered = -1;
      redraw(state);
    };
    canvas.onclick = (event) => {
      hover(state, name, event);
      state.pinned = state.hovered;
      if (state.pinned >= 0) state.component.setStateValue("picked", state.pinned);
      redraw(state);
    };
  }
  whenLeft(state, () => [state.canvases.before, state.canvases.after, state.$(".card")], () => {
    if (state.pinned < 0) return;
    state.pinned = state.hovered = -1;
    redraw(state);
  });
}
