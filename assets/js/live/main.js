/* Lacuna's live lane: everything that must answer within the frame while α or λ is dragged.
 *
 * The server is asked for nothing while dragging: the answers come from a histogram of the importance ratios (exact up
 * to one bin) and from a landscape of points evaluated beforehand (interpolated, and drawn so). Methods without α and λ
 * are "still": nothing to drag, only exact outcomes, and how far each layer moved. Tests: tests/ui/test_live_maths.py.
 */

import { copyOf, surfaceOf } from "../canvas.js";
import { layerAnswers, nearestTick, takeExact } from "../maths.js";
import { drawn, mounted, redraw } from "../mount.js";
import { heard } from "../release.js";
import { colour, css, themeOf } from "../theme.js";
import { showCard } from "./card.js";
import { changePlace } from "./change.js";
import { drawGauge } from "./gauge.js";
import { blend, locate } from "./landscape.js";
import { forget, load } from "./loading.js";
import { drawMaps, drawPoints } from "./maps.js";
import { drawPad, padScale, padShade } from "./pad.js";
import { dress, setGauges, setSliders } from "./page.js";
import { glided, hasOutcome, isExact, isStill } from "./point.js";
import { tellShow } from "./show.js";
import { drawBars, drawHeat, heatLayout, rowsLayout } from "./rows.js";
import { describe, tell } from "./tell.js";
import { make } from "./wiring.js";

/** @import { Pair } from "../types" */
/** @import { CanvasName, HeatRows, Live, Rows, Scene } from "./types" */

export const view = mounted(".lacuna-live", make, take, draw);

export default view;

/** New data or theme from the server. @param {Live} state */
function take(state) {
  const { $, data } = state;
  dress(state, isStill(data));
  const look = lookOf(state);
  if (look !== state.look) state.stale = true; // else a settled value would cost a whole new layout
  state.look = look;
  $(".page").classList.toggle("former", !!data.former);
  const left = !!state.loads.scene && state.loads.scene.url !== data.scene;
  // 0 where there is nothing to drag
  const told = { alpha: data.alpha?.value ?? 0, lambda: data.lambda?.value ?? 0 };
  if (heard(state, told, left || !!data.former)) Object.assign(state, told);
  setSliders(state);
  tellShow(state);
  if (left) forget(state);
  setGauges(state);
  load(state);
  describe(state);
  redraw(state);
}

/** All that the looks depend on, as text. @param {Live} state */
function lookOf({ root, data }) {
  const style = getComputedStyle(root);
  const theme = ["--st-text-color", "--st-background-color", "--st-font"].map((name) => style.getPropertyValue(name));
  const gauges = data.gauges.map((gauge) => [gauge.id, gauge.retrained]);
  return JSON.stringify([theme, data.palette, data.alpha, data.lambda, gauges], (key, v) => (key === "value" ? 0 : v));
}

/** All that depends on size or theme, made anew when either changes. @param {Live} state */
function prepare(state) {
  state.stale = false;
  const { root, canvases, data, scene, sums } = state;
  const theme = (state.theme = themeOf(root, data.palette, scene?.header.classes.length ?? 0));
  colour(root, theme, ["accent", "original", "retrained"]);
  root.style.setProperty("--ramp", `linear-gradient(90deg, ${css(theme.weak)}, ${css(theme.strong)})`);
  for (const name of /** @type {CanvasName[]} */ (Object.keys(canvases))) {
    state.surfaces[name] = surfaceOf(canvases[name]);
  }
  state.tracks = state.gauges.map((gauge) =>
    surfaceOf(/** @type {HTMLCanvasElement} */ (gauge.querySelector("canvas"))));
  if (!state.still) prepareControls(state);
  if (!scene) return;
  const { heat, before } = state.surfaces;
  state.layout = state.still || !sums
    ? rowsLayout(heat, scene, theme) : heatLayout(heat, scene, sums, state.domain, theme);
  // The left map never changes while dragging: drawn once here, then copied.
  drawPoints(before, scene.xy, scene.arrays.before_class, scene.groups, true, theme);
  state.backdrop = copyOf(before);
}

/** @param {Live} state */
function prepareControls(state) {
  const { data: { alpha, lambda }, scene, ranges } = state;
  if (!alpha || !lambda) return;
  state.scale = padScale(state.surfaces.pad, alpha.ticks, lambda.ticks);
  state.shade = null;
  const ceilings = { alpha: scene?.header.ceiling, lambda: null };
  for (const [name, { ticks }] of /** @type {const} */ ([["alpha", alpha], ["lambda", lambda]])) {
    const mark = /** @type {HTMLElement} */ (ranges[name].nextElementSibling);
    const ceiling = ceilings[name];
    mark.hidden = !ceiling || ceiling < ticks[0] || ceiling > ticks[ticks.length - 1];
    if (ceiling && !mark.hidden) mark.style.setProperty("--at", `${nearestTick(ticks, ceiling) / (ticks.length - 1)}`);
  }
}

/** @param {Live} state */
function draw(state) {
  if (state.stale) prepare(state);
  const { data, theme, scene, landscape, alpha, lambda } = state;
  const exact = isExact(state);
  const spot = landscape && locate(landscape, alpha, lambda);
  drawControl(state, exact);
  const between = spot && landscape && blend(landscape, spot, "gauges", new Float64Array(data.gauges.length));
  const readings = data.gauges.map((gauge, g) => {
    const sure = exact && gauge.settled !== null;
    const value = sure ? gauge.settled : between ? between[g] : state.lastExact[g];
    const reading = { ...gauge, exact: sure, value };
    drawGauge(state.tracks[g], reading, theme);
    return reading;
  });
  if (scene) {
    const eased = hasOutcome(state) ? glided(state) : 0;
    drawLayers(state, scene, exact, eased);
    drawMaps(state, scene, spot, eased);
  }
  tell(state, readings, exact, !!spot); // last: text on a page just changed is slow to measure, on canvas too
  if (scene) showCard(state, scene);
  if (exact && scene) drawn(state);
  if (state.describing && !state.dragging) describe(state);
}

/** @param {Live} state @param {boolean} exact */
function drawControl(state, exact) {
  const { data, landscape, scene, theme } = state;
  if (state.still || !data.alpha || !data.lambda) return;
  if (landscape?.held && !state.shade) state.shade = padShade(state.scale, landscape, data.gauges, theme);
  const ends = (/** @type {number[]} */ ticks) => /** @type {Pair} */ ([ticks[0], ticks[ticks.length - 1]]);
  const range = { alpha: ends(data.alpha.ticks), lambda: ends(data.lambda.ticks) };
  const { shade, alpha, lambda } = state;
  const ceiling = scene?.header.ceiling;
  drawPad(state.surfaces.pad, state.scale, { landscape, shade, alpha, lambda, ceiling, exact, range }, theme);
}

/**
 * The heatmap; or, for a still method, bars that glide from the last outcome to this one, faint until it is there.
 * @param {Live} state @param {Scene} scene @param {boolean} exact @param {number} eased
 */
function drawLayers(state, scene, exact, eased) {
  const { data, surfaces: { heat }, theme, sums, answers, alpha, lambda, domain, bars, glide } = state;
  if (!state.still && sums && answers) {
    layerAnswers(sums, alpha, lambda, answers);
    if (exact && data.exact) takeExact(answers, data.exact); // the histogram is exact only up to a bin
    const at = { alpha, lambda, ceiling: scene.header.ceiling, domain };
    drawHeat(heat, /** @type {HeatRows} */ (state.layout), scene, sums, answers, at, theme);
  } else if (bars) {
    const change = state.outcome && hasOutcome(state) ? state.outcome.arrays.change : null;
    change?.forEach((c, l) => {
      const from = eased < 1 && glide ? glide.bars[l] : changePlace(c);
      bars[l] = from + eased * (changePlace(c) - from);
    });
    drawBars(heat, /** @type {Rows} */ (state.layout), scene, bars, change, theme);
  }
}
