/* The words and numbers beside the canvases, which are also what tests read, and what the canvases show in words. */

import { layerAnswers, nearestTick } from "../maths.js";
import { percent, short } from "../words.js";
import { changeText, mostChanged } from "./change.js";
import { hasOutcome, isExact } from "./point.js";

/** @import { CanvasName, Gauge, Live, LiveData, Reading, Scene } from "./types" */

/** @param {Live} state @param {Reading[]} readings @param {boolean} exact @param {boolean} interpolated */
export function tell(state, readings, exact, interpolated) {
  const { $, data, canvases, landscape, answers, scene, outcome } = state;
  tellPoint(state);
  readings.forEach(({ value, exact: sure }, g) => {
    const known = value !== null && value !== undefined && Number.isFinite(value);
    Object.assign(state.gauges[g].dataset, { value: known ? value : "", exact: sure && !data.former });
    const output = /** @type {HTMLOutputElement} */ (state.gauges[g].querySelector("output"));
    output.textContent = known ? `${sure ? "" : interpolated ? "≈ " : "was "}${percent(value)}` : "–";
  });
  const waiting = data.alone ? "interpolated between evaluated points"
    : `interpolated, ${state.dragging || state.held ? "release for exact values" : "settling…"}`;
  const settledWord = data.former ? `of ${data.former}` : "exact";
  const last = `last exact values${data.alone ? "" : ", settling…"}`;
  const unsettled = interpolated ? `≈ ${waiting}` : last;
  $("[data-testid=status]").textContent = exact ? settledWord : unsettled;
  const partly = landscape?.held && !landscape.complete;
  const compared = data.gauges.some((gauge) => gauge.retrained.length);
  const lighter = compared ? "Lighter: the smaller gap to retrained networks. " : "";
  $(".pad .how").textContent = `Drag the ring. ${lighter}Dots: evaluated points.`;
  $(".pad .aside").textContent = partly ? `${landscape.held} of ${landscape.cells.length} evaluated` : "";
  const sure = !!scene && hasOutcome(state);
  canvases.after.dataset.exact = `${sure && !data.former}`;
  const change = state.still && sure && outcome ? outcome.arrays.change : null;
  const moved = change && `${change.filter((c) => c !== 0).length} of ${change.length} moved`;
  $(".heat .aside").textContent = answers ? `${percent(answers.total)} selected` : moved ?? "";
  canvases.heat.dataset.value = `${answers ? answers.total : change ? Math.max(...change) : ""}`;
  const waits = state.still ? (state.notes.outcome ? "" : "loading…") : "waiting for the first points";
  const shown = sure ? settledWord : interpolated ? "≈ interpolated" : waits;
  $(".after .aside").textContent = scene ? shown : "";
  const note = Object.values(state.notes).filter(Boolean).join(" ");
  Object.assign($(".note"), { textContent: note, hidden: !note });
}

/** @param {Live} state */
function tellPoint(state) {
  const { $, data, canvases, still } = state;
  canvases.pad.dataset.value = canvases.after.dataset.value = still ? "" : `${state.alpha},${state.lambda}`;
  for (const name of still ? [] : /** @type {const} */ (["alpha", "lambda"])) {
    const [knob, input, value] = [data[name], state.ranges[name], state[name]];
    if (!knob) continue;
    input.value = `${nearestTick(knob.ticks, value)}`;
    input.dataset.value = `${value}`;
    input.setAttribute("aria-valuetext", `${knob.label} ${short(value)}`);
    $(`[data-testid=${name}-number]`).textContent = short(value);
  }
}

/**
 * What the canvases show, in words, for those who cannot see them. Once per release: a reader would not keep up.
 * @param {Live} state
 */
export function describe(state) {
  state.describing = false;
  const { canvases, data, scene, gauges } = state;
  const say = (/** @type {CanvasName} */ name, /** @type {string} */ words) =>
    canvases[name].setAttribute("aria-label", words);
  const point = state.still ? "" : `α ${short(state.alpha)}, λ ${short(state.lambda)}`;
  if (!state.still) {
    say("pad", `Map of α and λ; the current point is ${point}. Use the two sliders below to move it.`);
  }
  data.gauges.forEach((gauge, g) => {
    gauges[g].querySelector("canvas")?.setAttribute("aria-label", gaugeInWords(gauge, isExact(state), data));
  });
  if (!scene) return /** @type {const} */ (["heat", "before", "after"]).forEach((name) => say(name, "Being loaded."));
  say("heat", layersInWords(state, scene, point));
  const { forgotten } = scene.groups;
  const kept = (/** @type {Uint8Array} */ klass) => {
    const still = forgotten.filter((i) => klass[i] === scene.arrays.truth[i]).length;
    return `${still} of ${forgotten.length} images to be forgotten (${scene.header.words}) are predicted ` +
      "as what they are";
  };
  say("before", `Map of ${scene.header.n} images before unlearning: ${kept(scene.arrays.before_class)}.`);
  const after = state.outcome && hasOutcome(state) ? kept(state.outcome.arrays.klass) : pending(state.data);
  say("after", `The same map after unlearning: ${after}.`);
}

/** @param {LiveData} data */
const pending = ({ alone }) => (alone ? "interpolated" : "being evaluated");

/** @param {Gauge} gauge @param {boolean} exact @param {LiveData} data */
function gaugeInWords({ label, original, retrained, settled }, exact, data) {
  const band = retrained?.length
    ? `, retrained ${percent(Math.min(...retrained))} to ${percent(Math.max(...retrained))}` : "";
  const whose = data.former && ` by ${data.former}, the last picture`;
  const now = exact && settled !== null ? percent(settled) + whose : pending(data);
  return `${label}: unlearned ${now}, original ${original === null ? "unknown" : percent(original)}${band}`;
}

/** @param {Live} state @param {Scene} scene @param {string} point */
function layersInWords(state, scene, point) {
  const { sums, outcome } = state;
  const named = (/** @type {number[]} */ rows, /** @type {(l: number) => string} */ said) =>
    rows.map((l) => `${scene.header.layers[l].name} (${said(l)})`).join(", ");
  if (state.still || !sums) {
    const change = outcome && hasOutcome(state) ? outcome.arrays.change : null;
    if (!change) return "How far the weights of each layer moved: being evaluated.";
    const moved = change.filter((c) => c !== 0).length;
    if (!moved) return "No layer moved.";
    const most = named(mostChanged(change), (l) => changeText(change[l]));
    return `${moved} of ${change.length} layers moved; relative to their size, most: ${most}.`;
  }
  const { share, total } = layerAnswers(sums, state.alpha, state.lambda);
  const most = [...share.keys()].sort((a, b) => share[b] - share[a]).slice(0, 3);
  const said = named(most, (l) => percent(share[l]));
  return `At ${point}, ${percent(total)} of the weights are selected; most in ${said}.`;
}

/** What happened to a layer, for the pointer that rests on it. @param {Live} state @param {number} l */
export function layerInWords(state, l) {
  const { answers, outcome, scene } = state;
  const layer = scene?.header.layers[l];
  if (!layer) return "";
  const { name, kind, size } = layer;
  const words = `${name} (${kind}, ${size.toLocaleString("en")} weights)`;
  if (answers) {
    return `${words}: ${percent(answers.share[l], 2)} selected, mean multiplier ${answers.multiplier[l].toFixed(3)}`;
  }
  if (!outcome || !hasOutcome(state)) return words;
  return `${words}: moved by ${changeText(outcome.arrays.change[l])} of its size`;
}
