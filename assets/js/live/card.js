/* The card of one image: what it is, and what the network says of it before and after. */

import { barsOf } from "../bars.js";
import { redraw } from "../mount.js";
import { plain } from "../words.js";
import { addressOf } from "../wire.js";
import { pointAt } from "./maps.js";
import { hasOutcome } from "./point.js";

/** @import { Live, MapName, Scene } from "./types" */

const CATCH = 10; // px within which a pointer means a point

/** @param {Live} state @param {MapName} name @param {{ offsetX: number, offsetY: number }} event */
export function hover(state, name, event) {
  if (!state.scene) return;
  const surface = state.surfaces[name];
  const xy = placesOn(state, state.scene, name);
  let [nearest, best] = [-1, CATCH];
  for (let i = 0; i < state.scene.header.n; i++) {
    const [x, y] = pointAt(surface, xy, i);
    const gap = Math.hypot(x - event.offsetX, y - event.offsetY);
    if (gap < best) [nearest, best] = [i, gap];
  }
  Object.assign(state, { hovered: nearest, hoveredIn: state.pinned >= 0 ? state.hoveredIn : name });
  redraw(state);
}

/** @param {Live} state @param {Scene} scene @param {MapName} name */
const placesOn = (state, scene, name) => (name === "before" ? scene.xy : /** @type {Float32Array} */ (state.shown));

/** @param {Live} state @param {Scene} scene */
export function showCard(state, scene) {
  const card = state.$(".card");
  const i = state.pinned >= 0 ? state.pinned : state.hovered;
  card.hidden = i < 0;
  if (i < 0) return;
  const sure = hasOutcome(state);
  const content = [i, state.data.scene, sure && state.outcome?.url, state.dragging].join();
  if (card.dataset.content !== content) {
    card.dataset.content = content;
    card.innerHTML = cardOf(state, scene, i);
  }
  card.classList.toggle("pinned", state.pinned >= 0);
  const name = state.hoveredIn ?? "after";
  const { canvas } = state.surfaces[name];
  const [x] = pointAt(state.surfaces[name], placesOn(state, scene, name), i);
  const left = Math.min(canvas.offsetLeft + x - card.offsetWidth / 2, state.root.clientWidth - card.offsetWidth);
  card.style.left = `${Math.max(left, 0)}px`;
  card.style.top = `${canvas.offsetTop - card.offsetHeight - 4}px`; // above the map: neither mark is hidden
}

/** @param {Live} state */
const waiting = ({ dragging }) => (dragging ? "release to see" : "settling…");

/** @param {Live} state @param {Scene} scene @param {number} i */
function cardOf(state, scene, i) {
  const { classes } = scene.header;
  const { truth, member, forgotten, picture, before_probability: before } = scene.arrays;
  const bars = (/** @type {Uint8Array} */ probabilities) =>
    barsOf(classes, probabilities.subarray(i * classes.length, (i + 1) * classes.length));
  const after = hasOutcome(state) && state.outcome
    ? bars(state.outcome.arrays.probability)
    : `<p>${state.data.alone ? "known at the evaluated point only" : waiting(state)}</p>`;
  const address = addressOf(`${state.data.image}${picture[i]}.png`);
  const missing = state.data.alone && address.protocol !== "data:"; // a file may have no room for all
  return `${missing ? "<i>not in this file</i>" : `<img alt="" width="84" height="84" src="${address}">`}
    <div class="who"><b>${plain(classes[truth[i]])}</b>${forgotten[i] ? " ✖" : ""}<br>` +
    `${member[i] ? "member of the training set" : "test image"}</div>
    <div class="bars"><b>Before</b>${bars(before)}</div>
    <div class="bars"><b>After</b>${after}</div>`;
}
