/* The page around the panels, the words beside them, which are also what tests read, and the card of one image. */

import { barsOf } from "../bars.js";
import { addressOf } from "../wire.js";
import { plain } from "../words.js";

/** @import { Embedding, MapBlob, Panel, Role } from "./types" */

const TITLES = { original: "Original", retrained: "Retrained", unlearned: "Unlearned" };

export const PAGE = `<div class="page"><div class="panels"></div>
  <div class="card pinned" data-testid="card" hidden></div>
  <div class="player"><button class="play" type="button" data-testid="play">▶ Before → after</button>
    <input type="range" min="0" max="1" step="0.01" value="1" data-testid="way"
      aria-label="From the original's map to the unlearned network's">
    <button class="zoom" type="button" data-testid="zoom"></button>
    <button class="clear" type="button" data-testid="clear" hidden>Clear selection</button></div>
  <p class="legend"></p><p class="note" role="alert" hidden></p><p class="said" role="status"></p></div>`;

/** @param {Role} role */
export const PANEL = (role) => `<section class="panel map ${role}" data-role="${role}">
  <header><h3><i class="mark ${role}"></i>${TITLES[role]}</h3><span class="aside"></span></header>
  <canvas tabindex="0" role="img" data-testid="map-${role}"></canvas></section>`;

/** @param {MapBlob["header"]} header @param {string[]} colours */
export const legendOf = ({ classes, forget }, colours) => classes.map((name, c) => {
  const [sign, fate] = forget.includes(c) ? ["✖", " (to be forgotten)"] : ["●", ""];
  return `<span><i style="color:${colours[c % colours.length]}">${sign}</i>${plain(name)}${fate}</span>`;
}).join("");

/** @param {Embedding} state @param {MapBlob} map @param {Panel} last */
export function tell(state, { header, arrays }, last) {
  const { $, way, focus } = state;
  const among = focus.reduce((sum, v) => sum + v, 0);
  for (const panel of state.panels) {
    let own = 0;
    for (let i = 0; i < header.n; i++) own += Number(focus[i] && panel.klass[i] === arrays.truth[i]);
    const moving = way ? "on the way" : "as the original";
    panel.aside.textContent = panel === last && way < 1 ? moving : `${own} of ${among} right`;
    panel.canvas.dataset.shown = `${among}`;
    panel.canvas.setAttribute("aria-label", `${TITLES[panel.role]}: map of ${among} images, ${own} of them predicted ` +
      "as what they are. Arrow keys go from image to image, Enter opens one.");
  }
  const slider = /** @type {HTMLInputElement} */ ($("[data-testid=way]"));
  slider.value = `${way}`;
  slider.setAttribute("aria-valuetext", `${Math.round(100 * way)} % of the way`);
  $(".zoom").textContent = state.zoomed ? "Whole map" : "Zoom in";
  const clear = $(".clear");
  clear.hidden = !state.selected.size;
  clear.textContent = `Clear selection (${state.selected.size})`;
}

/** Says an image aloud. @param {Embedding} state @param {number} i */
export function say({ $, map, panels }, i) {
  if (!map) return;
  const { classes } = map.header;
  const called = panels.map(({ role, klass }) => `${TITLES[role]}: ${classes[klass[i]]}`).join(". ");
  $(".said").textContent = `Image ${i}, a ${classes[map.arrays.truth[i]]}. ${called}.`;
}

/**
 * The opened image: what it is, and what each network says of it, the voice of the retrained being their mean.
 * @param {Embedding} state @param {MapBlob} map
 */
export function showCard({ $, data, loads, pinned: i }, { header, arrays }) {
  const card = $(".card");
  card.hidden = i < 0;
  const content = [i, loads.map?.url].join();
  if (i < 0 || card.dataset.content === content) return;
  card.dataset.content = content;
  const { classes, n } = header;
  const titles = { original: "Before", retrained: `Retrained, mean of ${data.references}`, unlearned: "After" };
  const bars = header.voices.map((voice, v) => {
    const start = (v * n + i) * classes.length;
    const said = barsOf(classes, arrays.probability.subarray(start, start + classes.length));
    return `<div class="bars"><b>${titles[voice]}</b>${said}</div>`;
  });
  const truth = arrays.truth[i];
  card.innerHTML = `<img alt="" width="84" height="84" src="${addressOf(`${data.image}${arrays.picture[i]}.png`)}">
    <div class="who"><b>${plain(classes[truth])}</b>${arrays.forgotten[i] ? " ✖" : ""}<br>` +
    `${arrays.member[i] ? "training image" : "test image"}</div>${bars.join("")}`;
}
