/* The feature space of up to three networks on one map: linked panels, a lasso, and the way from before to after.
 * The server is asked once for each map; all else happens here.
 */

import { surfaceOf } from "../canvas.js";
import { drawn, mounted, redraw, whenLeft } from "../mount.js";
import { colour, themeOf } from "../theme.js";
import { addressOf, begun, blobAt } from "../wire.js";
import { drawCloud, drawLasso, drawRing } from "./drawing.js";
import { partAround, WHOLE } from "./geometry.js";
import { pin, rowsOf, wire } from "./panel.js";
import { legendOf, PAGE, PANEL, showCard, tell } from "./tell.js";

/** @import { View } from "../types" */
/** @import { Embedding, EmbeddingData, MapBlob } from "./types" */

const WAY = 1800; // ms from before to after
const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");

export default mounted(".lacuna-live", make, take, draw);

/** @param {View<EmbeddingData>} bare @returns {Embedding} */
function make(bare) {
  const { root, $, data } = bare;
  root.innerHTML = PAGE;
  const state = Object.assign(/** @type {Embedding} */ (bare), {
    selected: new Set(data.selected), map: null, panels: [], hovered: -1, pinned: -1, way: 1, part: WHOLE, note: "",
  });
  $(".play").onclick = () => play(state);
  $(".zoom").onclick = () => {
    state.zoomed = !state.zoomed;
    look(state);
    redraw(state);
  };
  $(".clear").onclick = () => select(state, []);
  const slider = /** @type {HTMLInputElement} */ ($("[data-testid=way]"));
  slider.oninput = () => {
    state.playing = null;
    state.way = Number(slider.value);
    redraw(state);
  };
  whenLeft(state, () => [...state.panels.map((panel) => panel.canvas), $(".card")], () => pin(state, -1));
  return state;
}

/** New data or theme from the server. @param {Embedding} state */
function take(state) {
  state.stale = true;
  load(state, state.data.url);
  focus(state);
  redraw(state);
}

/** @param {Embedding} state @param {string} url */
async function load(state, url) {
  const signal = begun(state, "map", url);
  if (!signal) return;
  try {
    const map = await blobAt(addressOf(url), signal);
    if (signal.aborted) return;
    state.note = "";
    setMap(state, map);
  } catch {
    if (signal.aborted) return;
    state.note = "The map could not be loaded: reload the page, or use the plain view.";
  }
  redraw(state);
}

/** @param {Embedding} state @param {MapBlob} map */
function setMap(state, map) {
  const { header, arrays } = map;
  const { n, panels: roles } = header;
  const { $ } = state;
  Object.assign(state, {
    map, stale: true, hovered: -1, pinned: state.pinned < n ? state.pinned : -1,
    forgotten: arrays.forgotten,
  });
  if (roles.join() !== state.panels.map((panel) => panel.role).join()) {
    $(".panels").innerHTML = roles.map(PANEL).join("");
    $(".panels").dataset.count = `${roles.length}`;
    state.panels = roles.map((role) => wire(state, role, (chosen) => select(state, chosen)));
  }
  state.panels.forEach((panel, p) => {
    panel.xy = Float32Array.from(arrays.xy.subarray(2 * n * p, 2 * n * (p + 1)), (v) => v / 65535);
    panel.klass = arrays.klass.subarray(n * p, n * (p + 1));
    panel.shown = panel.xy;
  });
  $(".legend").innerHTML = legendOf(header, state.data.palette.classes);
  focus(state);
}

/** Who is drawn in full: the chosen group, or what of it is selected. @param {Embedding} state */
function focus(state) {
  if (!state.map) return;
  const among = rowsOf(state);
  state.focus = new Uint8Array(state.map.header.n);
  for (const i of among) state.focus[i] = Number(!state.selected.size || state.selected.has(i));
  look(state);
}

/**
 * Zoomed in, the panels show the part of the map around what is drawn in full, or the forget set if that is all.
 * @param {Embedding} state
 */
function look(state) {
  const { zoomed, map, panels, focus: shown, forgotten } = state;
  if (!map) return;
  const all = shown.every((v) => v);
  const chosen = [...shown.keys()].filter((i) => (all ? forgotten[i] : shown[i]));
  state.part = zoomed && chosen.length ? partAround(panels.map((panel) => panel.xy), chosen) : WHOLE;
}

/** @param {Embedding} state @param {number[]} chosen */
function select(state, chosen) {
  state.selected = new Set(chosen);
  // The time makes each message differ from the last.
  state.component.setStateValue("selected", { rows: chosen, at: Date.now() });
  focus(state);
  redraw(state);
}

/**
 * From the original's map to the unlearned network's; without motion for those who want none: first the one, then the
 * other.
 * @param {Embedding} state
 */
function play(state) {
  state.way = 0;
  state.playing = { start: performance.now(), calm: REDUCED.matches };
  redraw(state);
}

/** @param {Embedding} state */
function advance(state) {
  if (!state.playing) return;
  const t = Math.min((performance.now() - state.playing.start) / WAY, 1);
  state.way = state.playing.calm ? Math.floor(t) : t * t * (3 - 2 * t);
  if (t < 1) redraw(state);
  else state.playing = null;
}

/** @param {Embedding} state @param {MapBlob} map */
function prepare(state, { header }) {
  state.stale = false;
  state.theme = themeOf(state.root, state.data.palette, header.classes.length);
  colour(state.root, state.theme, ["original", "retrained", "accent"]);
  for (const panel of state.panels) panel.surface = surfaceOf(panel.canvas);
}

/** @param {Embedding} state */
function draw(state) {
  const { $, map, panels } = state;
  Object.assign($(".note"), { textContent: state.note, hidden: !state.note });
  if (!map) return;
  if (state.stale) prepare(state, map);
  advance(state);
  const { way, theme, drag } = state;
  const marked = state.pinned >= 0 ? state.pinned : state.hovered;
  const [first, last] = [panels[0], panels[panels.length - 1]];
  last.shown = way === 1 ? last.xy : last.xy.map((v, i) => first.xy[i] + way * (v - first.xy[i]));
  for (const panel of panels) {
    const klass = panel === last && way < 0.5 ? first.klass : panel.klass;
    drawCloud(panel.surface, panel.shown, klass, state, theme);
    if (drag?.wide && drag.panel === panel) drawLasso(panel.surface, drag.path, theme);
    if (marked >= 0) {
      drawRing(panel.surface, state.part, panel.shown, marked, map.header.classes[klass[marked]], theme);
    }
    panel.canvas.dataset.marked = `${marked}`;
  }
  tell(state, map, last);
  showCard(state, map);
  drawn(state);
}
