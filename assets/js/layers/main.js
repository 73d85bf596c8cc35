/* Where the forgetting happens: the importance ratios of every layer, and α as a line to drag through them.
 *
 * While α is dragged the browser answers from the scene's histogram (exact up to one bin, marked ≈); when it is
 * released the server's exact numbers take over.
 */

import { surfaceOf } from "../canvas.js";
import { answersFor, layerAnswers, nearestTick, ratioDomain, ratiosToKeep, same, suffixSums, takeExact }
  from "../maths.js";
import { mounted, redraw } from "../mount.js";
import { heard, released } from "../release.js";
import { colour, themeOf } from "../theme.js";
import { addressOf, begun, blobAt } from "../wire.js";
import { percent, short } from "../words.js";
import { drawRatios, heights, scaleOf, TOP } from "./drawing.js";
import { kindShares, shareText } from "./shares.js";

/** @import { Ratios, View } from "../types" */
/** @import { Layers, LayersData, Loaded } from "./types" */

const HTML = `<p class="readout"><b>α</b> <output class="alpha" data-testid="layers-alpha"></output> selects
  <output class="total" data-testid="layers-total"></output> of all weights
  <span class="status" data-testid="layers-status" role="status"></span></p>
  <canvas tabindex="0" role="slider" data-testid="layers" aria-label="α" aria-valuenow="0"></canvas>
  <p class="how">Selected share of each kind of parameter:</p><div class="kinds"></div><p class="note" hidden></p>`;

/** @type {Record<string, number>} */
const STEPS = {
  ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5, Home: -Infinity, End: Infinity,
};

export default mounted(".lacuna-layers", make, take, draw);

/** @param {View<LayersData>} bare @returns {Layers} */
function make(bare) {
  bare.root.innerHTML = HTML;
  const canvas = /** @type {HTMLCanvasElement} */ (bare.$("canvas"));
  const view = Object.assign(/** @type {Layers} */ (bare), {
    canvas, hovered: -1, awaited: [], told: null, committed: null, loaded: null,
  });
  wirePointer(view);
  canvas.onkeydown = (event) => {
    if (!(event.key in STEPS) || view.data.alpha.locked || view.data.former) return;
    event.preventDefault();
    view.held = true; // the release of the key is the release
    const { ticks } = view.data.alpha;
    const next = nearestTick(ticks, view.alpha) + STEPS[event.key];
    view.alpha = ticks[Math.min(Math.max(next, 0), ticks.length - 1)];
    redraw(view);
  };
  canvas.onkeyup = canvas.onblur = () => {
    if (!view.held) return;
    view.held = false;
    commit(view);
  };
  return view;
}

/** @param {Layers} view */
function wirePointer(view) {
  const { canvas } = view;
  const follow = (/** @type {PointerEvent} */ event) => {
    const { ticks } = view.data.alpha;
    if (view.loaded) view.alpha = ticks[nearestTick(ticks, 10 ** view.loaded.scale.log(event.offsetX))];
    redraw(view);
  };
  const rowAt = (/** @type {PointerEvent} */ event) => {
    const row = view.loaded?.scale ? Math.floor((event.offsetY - TOP) / view.loaded.scale.row) : -1;
    return row >= 0 && row < (view.loaded?.scene.header.layers.length ?? 0) ? row : -1;
  };
  const onRatios = (/** @type {PointerEvent} */ { offsetX }) => {
    const scale = view.loaded?.scale;
    return !!scale && offsetX >= scale.left - 8 && offsetX <= scale.right + 8;
  };
  canvas.onpointerdown = (event) => {
    if (!view.loaded) return;
    if (!onRatios(event)) {
      const layer = view.loaded.scene.header.layers[rowAt(event)];
      if (layer) view.component.setStateValue("layer", { name: layer.name, at: Date.now() });
    } else if (!view.data.alpha.locked) {
      canvas.setPointerCapture(event.pointerId);
      view.dragging = true;
      follow(event);
    }
  };
  canvas.onpointermove = (event) => {
    if (view.dragging) return follow(event);
    const row = rowAt(event);
    const free = view.data.alpha.locked ? "not-allowed" : "ew-resize";
    canvas.style.cursor = onRatios(event) ? free : row >= 0 ? "pointer" : "default";
    canvas.title = row < 0 || !view.loaded ? "" : layerInWords(view.loaded, row);
    hover(view, row);
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    view.dragging = false;
    commit(view);
  };
  canvas.onpointerleave = () => hover(view, -1);
}

/** @param {Layers} view @param {number} row */
function hover(view, row) {
  if (row === view.hovered) return;
  view.hovered = row;
  redraw(view);
}

/** @param {Layers} view */
const commit = (view) => released(view, { alpha: view.alpha, lambda: view.data.lambda });

/** New data or theme from the server. @param {Layers} view */
function take(view) {
  const { data, root, loads } = view;
  view.stale = true;
  root.classList.toggle("former", !!data.former);
  const left = loads.scene && loads.scene.url !== data.scene || !!data.former;
  if (heard(view, { alpha: data.alpha.value, lambda: data.lambda }, left)) view.alpha = data.alpha.value;
  load(view, data.scene);
  redraw(view);
}

/** @param {Layers} view @param {string} url */
async function load(view, url) {
  const signal = begun(view, "scene", url);
  if (!signal) return;
  view.loaded = null; // nothing of an earlier scene may be drawn over a new one
  let note = "";
  try {
    /** @type {Ratios} */
    const scene = await blobAt(addressOf(url), signal);
    if (signal.aborted) return;
    const sums = suffixSums(scene);
    const domain = ratioDomain(sums, ratiosToKeep(view.data.alpha.ticks, scene.header.ceiling));
    // The scale follows with the next drawing, since the height of the canvas depends on the scene.
    view.loaded = /** @type {Loaded} */ ({ scene, sums, domain, answers: answersFor(sums.layers) });
    view.stale = true;
  } catch {
    if (signal.aborted) return;
    note = "The histogram of the ratios could not be loaded; the table below holds the exact numbers.";
  }
  Object.assign(view.$(".note"), { textContent: note, hidden: !note });
  redraw(view);
}

/** All that depends on size, theme or scene, made anew when one changes. @param {Layers} view */
function prepare(view) {
  view.stale = false;
  const { root, canvas, data, loaded } = view;
  view.theme = themeOf(root, data.palette, 0);
  colour(root, view.theme, ["accent", "grid"]);
  if (loaded) canvas.style.height = `${heights(loaded.scene.header.layers.length).all}px`;
  view.surface = surfaceOf(canvas);
  if (!loaded) return;
  loaded.scale = scaleOf(view.surface, loaded.scene, loaded.sums, loaded.domain, view.theme.font(14));
  view.$(".kinds").replaceChildren(...kindShares(loaded.scene.header.layers, loaded.answers.share).map(([kind]) => {
    const item = document.createElement("div");
    item.dataset.kind = kind;
    item.innerHTML = "<span></span><output></output><u></u>";
    item.children[0].textContent = kind;
    return item;
  }));
}

/** @param {Layers} view */
function draw(view) {
  if (view.stale) prepare(view);
  const { $, root, data, surface, loaded, alpha } = view;
  const exact = same(data.exact, { alpha, lambda: data.lambda });
  $(".alpha").textContent = short(alpha);
  const asked = view.dragging || view.held ? "release for exact numbers" : "settling…";
  const whose = data.former ? `of ${data.former}` : "exact";
  $(".status").textContent = exact ? whose : `≈ from the histogram; ${asked}`;
  surface.pen.clearRect(0, 0, surface.w, surface.h);
  if (!loaded) return;
  const { answers, scene } = loaded;
  layerAnswers(loaded.sums, alpha, data.lambda, answers);
  if (exact) takeExact(answers, data.exact);
  drawRatios(view, loaded, exact);
  $(".total").textContent = `${exact ? "" : "≈ "}${shareText(answers.total)}`;
  root.dataset.total = `${answers.total}`;
  root.dataset.exact = `${exact && !data.former}`;
  for (const [kind, share] of kindShares(scene.header.layers, answers.share)) {
    const item = $(`.kinds [data-kind="${kind}"]`);
    item.children[1].textContent = shareText(share);
    /** @type {HTMLElement} */ (item.children[2]).style.setProperty("--p", `${share}`);
  }
  if (!view.dragging) tellReaders(view, answers.total);
}

/** For those who cannot see the canvas: once per release, since a reader would not keep up.
 *  @param {Layers} view @param {number} total */
function tellReaders({ canvas, data, alpha }, total) {
  const { ticks, label, meaning, locked } = data.alpha;
  const attributes = {
    label: `${label}: ${meaning}`, valuemin: ticks[0], valuemax: ticks[ticks.length - 1], valuenow: alpha,
    disabled: locked, valuetext: `α ${short(alpha)}: ${percent(total)} of the weights selected`,
  };
  for (const [name, value] of Object.entries(attributes)) canvas.setAttribute(`aria-${name}`, `${value}`);
}

/** A layer in a sentence, for the pointer that rests on it. @param {Loaded} loaded @param {number} l */
function layerInWords({ scene, answers }, l) {
  const { name, kind, size } = scene.header.layers[l];
  return `${name} (${kind}, ${size.toLocaleString("en")} weights): ${percent(answers.share[l], 2)} selected, ` +
    `multiplied by ${answers.multiplier[l].toFixed(3)} on average. Click its name to look inside.`;
}
