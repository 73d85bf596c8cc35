/* What the view loads: the scene, its landscape as it fills, and the exact outcome. */

import { answersFor, ratioDomain, ratiosToKeep, suffixSums } from "../maths.js";
import { redraw } from "../mount.js";
import { addressOf, begun, blobAt } from "../wire.js";
import { addPoints, emptyLandscape } from "./landscape.js";
import { setLegend } from "./page.js";
import { hasOutcome, REDUCED } from "./point.js";
import { describe } from "./tell.js";

/** @import { Live, OutcomeBlob, SceneBlob } from "./types" */

const MISSING = {
  scene: "The maps and the picture of the weights could not be loaded; all else still works.",
  points: "No evaluated landscape could be loaded, so nothing is interpolated; releasing still gives exact values.",
  outcome: "The exact embedding and changes of the layers could not be loaded.",
};

/** Loads all that the data names and that is not there yet. @param {Live} state */
export function load(state) {
  const { data } = state;
  loadOnce(state, "scene", data.scene, (blob) => {
    setScene(state, blob);
    loadPoints(state);
  });
  if (state.scene) loadPoints(state);
  loadOnce(state, "outcome", data.outcome, (blob) => setOutcome(state, blob, data.outcome));
}

/**
 * What fails is said in one sentence.
 * @param {Live} state @param {"scene" | "outcome"} name @param {string} url @param {(blob: any) => void} use
 */
async function loadOnce(state, name, url, use) {
  const signal = begun(state, name, url);
  if (!signal) return;
  state.notes[name] = "";
  try {
    const blob = await blobAt(addressOf(url), signal);
    if (signal.aborted) return;
    use(blob);
  } catch {
    if (signal.aborted) return;
    state.notes[name] = MISSING[name];
  }
  describe(state);
  redraw(state);
}

/** @param {Live} state */
function loadPoints(state) {
  const url = state.data.points;
  const signal = begun(state, "points", url);
  if (!signal) return;
  state.notes.points = "";
  if (url) poll(state, addressOf(url), signal);
}

/**
 * Fetches the landscape as it fills. Hidden pages ask for nothing; silence and errors make it ask less often.
 * @param {Live} state @param {URL} url @param {AbortSignal} signal
 */
async function poll(state, url, signal) {
  const { alphas, lambdas } = /** @type {SceneBlob} */ (state.scene).header;
  const landscape = (state.landscape = emptyLandscape(alphas, lambdas));
  for (let wait = 700; !signal.aborted && !landscape.complete; ) {
    if (!document.hidden && state.root.clientWidth) {
      try {
        if (landscape.held) url.searchParams.set("from", `${landscape.held}`);
        else url.searchParams.delete("from");
        const blob = await blobAt(url, signal);
        if (signal.aborted) return;
        const news = blob.arrays.index.length;
        if (blob.header.total < landscape.held) landscape.held = 0; // the server started afresh: ask for all again
        else addPoints(landscape, blob);
        wait = news ? 700 : Math.min(1.5 * wait, 3000);
        state.notes.points = "";
        if (news) {
          state.shade = null;
          redraw(state);
        }
      } catch {
        if (signal.aborted) return;
        state.notes.points = landscape.held ? "" : MISSING.points;
        wait = Math.min(Math.max(2 * wait, 3000), 60000);
        redraw(state);
      }
    }
    if (state.data.alone) return; // no more will come
    if (!landscape.complete) await new Promise((done) => setTimeout(done, wait));
  }
}

/** Nothing of an earlier scene may be drawn over a new one. @param {Live} state */
export function forget(state) {
  for (const { abort } of Object.values(state.loads)) abort.abort();
  Object.assign(state, {
    loads: {}, notes: {}, scene: null, sums: null, answers: null, landscape: null, outcome: null, shown: null,
    bars: null, layout: null, glide: null, hovered: -1, pinned: -1, lastExact: [], stale: true,
  });
  state.$(".card").hidden = true;
  state.$(".legend").replaceChildren();
}

/** @param {Live} state @param {SceneBlob} scene */
function setScene(state, scene) {
  const { header, arrays } = scene;
  const { alpha, palette } = state.data;
  const forgotten = (/** @type {number} */ i) => arrays.forgotten[i] === 1;
  const all = Array.from({ length: header.n }, (_, i) => i);
  const xy = Float32Array.from(arrays.before_xy, (v) => v / 65535);
  state.scene = {
    ...scene, xy, groups: { retained: all.filter((i) => !forgotten(i)), forgotten: all.filter(forgotten) },
  };
  Object.assign(state, { shown: xy.slice(), klass: arrays.before_class, stale: true });
  if (state.still || !alpha) state.bars = new Float64Array(header.layers.length);
  else {
    state.sums = suffixSums(scene);
    state.domain = ratioDomain(state.sums, ratiosToKeep(alpha.ticks, header.ceiling));
    state.answers = answersFor(state.sums.layers);
  }
  setLegend(state.$(".legend"), header, palette.classes);
}

/** @param {Live} state @param {OutcomeBlob} blob @param {string} url */
function setOutcome(state, blob, url) {
  state.outcome = { ...blob, url, xy: Float32Array.from(blob.arrays.xy, (v) => v / 65535) };
  if (!state.shown || REDUCED.matches || !hasOutcome(state)) return;
  const bars = state.bars ?? new Float64Array(0);
  state.glide = { from: state.shown.slice(), bars: bars.slice(), start: performance.now() };
}
