/* The page around the canvases: its elements, and the words that stand still. */

/** @import { Gauge, Live, SceneBlob } from "./types" */

/** @param {string} name */
const SLIDER = (name) => `<label class="slider"><b class="symbol"></b><output data-testid="${name}-number"></output>
  <span class="track"><input type="range" min="0" step="1" data-testid="${name}"><i hidden></i></span>
  <span class="meaning"></span></label>`;

export const SLIDERS = SLIDER("alpha") + SLIDER("lambda");

/** @param {string} name @param {string} title @param {string} how */
const PANEL = (name, title, how) => `<section class="panel ${name}">
  <header><h3>${title}</h3><span class="aside"></span></header>
  <p class="how">${how}</p><canvas role="img" data-testid="${name}"></canvas></section>`;

export const PAGE = `<div class="page">
  ${PANEL("pad", "How hard should it forget?", "")}
  <section class="panel gauges"><header><h3>Did it forget, and at what cost?</h3>
    <span class="aside" data-testid="status" role="status"></span></header>
    <p class="how"><i class="mark original"></i>original <i class="mark retrained"></i>retrained, all seeds
      <i class="mark unlearned"></i>unlearned. Tracks: 0 to 100 %.</p><div class="list"></div></section>
  ${PANEL("heat", "", "")}
  ${PANEL("before", "Before",
    "A mark is an image, placed by the network’s features, coloured by the class it predicts.")}
  ${PANEL("after", "", "")}
  <p class="legend" data-testid="legend"></p><p class="note" data-testid="note" hidden></p>
  <div class="card" data-testid="card" hidden></div></div>`;

const GAUGE =
  '<div class="gauge"><b></b><span class="way"></span><output></output><canvas role="img"></canvas></div>';

const WAYS = { up: "↑ higher is better", down: "↓ lower is better", match: "→ toward the retrained band" };

/** Title and how to read it of the panels that differ: with α and λ, and still. */
const WORDS = {
  heat: [
    ["Which weights change?", "A row is a layer, r a weight’s importance ratio. Right of the cut α: dampened, weakly " +
      '<i class="ramp"></i> to fully.'],
    ["Which layers changed?",
      "A row is a layer; the bar is how far its weights moved, relative to their size (‖ΔW‖/‖W‖)."],
  ],
  after: [
    ["After", "The same images on the same map. Hollow: interpolated between evaluated points."],
    ["After", "The same images on the same map, placed by the changed network’s features."],
  ],
};

/** The panels for a method with α and λ, or for a still one. @param {Live} state @param {boolean} still */
export function dress(state, still) {
  if (state.still === still) return;
  state.still = still;
  const { $ } = state;
  $(".page").classList.toggle("still", still);
  for (const [name, words] of Object.entries(WORDS)) {
    [$(`.${name} h3`).textContent, $(`.${name} .how`).innerHTML] = words[still ? 1 : 0];
  }
  state.canvases.heat.title = "";
  if (still) Object.assign(state, { dragging: false, held: false }); // what was dragged is gone
}

/** @param {Live} state */
export function setSliders({ data, still, ranges }) {
  if (still) return;
  for (const name of /** @type {const} */ (["alpha", "lambda"])) {
    const [knob, range] = [data[name], ranges[name]];
    if (!knob) continue;
    range.disabled = !!knob.locked || !!data.former; // a method may fix one of the two
    range.max = `${knob.ticks.length - 1}`;
    range.setAttribute("aria-label", `${knob.label}: ${knob.meaning}`);
    const slider = /** @type {HTMLElement} */ (range.closest(".slider"));
    /** @type {HTMLElement} */ (slider.querySelector(".symbol")).textContent = knob.label;
    /** @type {HTMLElement} */ (slider.querySelector(".meaning")).textContent = slider.title = knob.meaning;
  }
}

/** @param {Live} state */
export function setGauges(state) {
  const { $, data } = state;
  const list = $(".list");
  const ids = data.gauges.map((gauge) => gauge.id).join();
  if (list.dataset.ids !== ids) {
    list.dataset.ids = ids;
    list.innerHTML = data.gauges.map(() => GAUGE).join("");
    state.gauges = /** @type {HTMLElement[]} */ ([...list.children]);
    state.lastExact = [];
  }
  data.gauges.forEach((gauge, g) => {
    const element = state.gauges[g];
    element.dataset.testid = `gauge-${gauge.id}`;
    element.title = gauge.about ?? "";
    /** @type {HTMLElement} */ (element.querySelector("b")).textContent = gauge.label;
    /** @type {HTMLElement} */ (element.querySelector(".way")).textContent = wayOf(gauge);
    if (data.settled && gauge.settled !== null) state.lastExact[g] = gauge.settled;
  });
}

/** @param {Gauge} gauge */
const wayOf = ({ better, retrained }) => (better === "match" && !retrained.length ? "" : WAYS[better]) ?? "";

/** @param {HTMLElement} legend @param {SceneBlob["header"]} header @param {string[]} colours */
export function setLegend(legend, { classes, forget }, colours) {
  legend.replaceChildren(...classes.map((name, c) => {
    const item = document.createElement("span");
    const mark = document.createElement("i");
    mark.style.color = colours[c % colours.length];
    mark.textContent = forget.includes(c) ? "✖" : "●";
    item.append(mark, forget.includes(c) ? `${name} (to be forgotten)` : name);
    return item;
  }));
}
