/* Play the attacker: images on a table, half of them trained on. Marked by eye, cut by the network's confidence, or
 * called by LiRA; the score of each stands beside what a coin reaches. All of it happens in the browser.
 */

import { mounted, redraw } from "./mount.js";

/** @import { View } from "./types" */
/**
 * @typedef {"eye" | "cut" | "lira"} Way
 * @typedef {object} Network
 * @property {string} name
 * @property {number[]} confidence of each image's true class
 * @property {boolean[] | null} calls LiRA's
 * @property {number} best balanced accuracy of the best threshold, over all images
 * @property {number | null} lira balanced accuracy of LiRA, over all images
 * @typedef {object} GameData
 * @property {string} key of the table
 * @property {string[]} images
 * @property {boolean[]} seen whether each was trained on
 * @property {Network[]} networks
 * @property {string} missing why LiRA cannot play
 * @property {number} all images of the pool
 * @property {[number, number, number]} coin mean, and the range of 95 in 100 games
 * @typedef {View<GameData> & { key: string, way: Way, network: number, marks: Set<number>, cuts: number[],
 *   eye: number | null, cut: boolean[], met: boolean, wall: HTMLElement, range: HTMLInputElement }} Game
 */

/** @type {[Way, string][]} */
const WAYS = [["eye", "1 By eye"], ["cut", "2 By its confidence"], ["lira", "3 Against LiRA"]];
const HOW = {
  eye: "Mark those that you think the network was trained on; half of them are. Then check.",
  cut: "Sorted by how sure the network is of the right class, surest first. Move the threshold: all that lie before " +
    "it are called trained on. The score tells what no attacker knows, so the best you find here flatters.",
  lira: "LiRA asks of each image: is the network as sure as networks that saw it, or as those that did not? The " +
    "images with a mark are those that it calls trained on.",
};
const PAGE = `<div class="bar"><div role="group" aria-label="How you attack" class="ways"></div>
    <div role="group" aria-label="Which network" class="networks"></div></div>
  <p class="how"></p>
  <label class="threshold"><span>Threshold</span><input type="range" min="0" step="1"><output></output></label>
  <p class="said" role="status" data-testid="said"></p>
  <div class="wall"></div>
  <div class="bar"><button type="button" data-testid="check">Check</button>
    <button type="button" data-testid="again">Other images</button></div>
  <table><thead></thead><tbody></tbody></table>`;
const percent = (/** @type {number} */ share) => `${Math.round(100 * share)} %`;

export default mounted(".lacuna-game", make, take, draw);

/** @param {View<GameData>} bare @returns {Game} */
function make(bare) {
  const { root, $ } = bare;
  root.innerHTML = PAGE;
  const range = /** @type {HTMLInputElement} */ ($("input"));
  const state = Object.assign(/** @type {Game} */ (bare), { wall: $(".wall"), range, way: "eye", network: 0 });
  range.oninput = () => {
    state.cuts[state.network] = Number(range.value);
    state.cut[state.network] = true;
    redraw(state);
  };
  $("[data-testid=check]").onclick = () => {
    state.eye = right(state, (i) => state.marks.has(i));
    redraw(state);
  };
  $("[data-testid=again]").onclick = () => state.component.setTriggerValue("again", true);
  return state;
}

/** @param {Game} state */
function take(state) {
  const { data } = state;
  if (data.key !== state.key) {
    Object.assign(state, { key: data.key, marks: new Set(), eye: null, met: false, cuts: data.networks.map(() => 0),
      cut: data.networks.map(() => false), network: Math.min(state.network, data.networks.length - 1) });
    state.range.max = `${data.images.length}`;
    state.wall.replaceChildren(...data.images.map((image, i) => {
      const button = document.createElement("button");
      const [picture, words] = [document.createElement("img"), document.createElement("span")];
      Object.assign(picture, { src: image, alt: "" });
      button.type = "button";
      button.append(picture, words);
      button.onclick = () => {
        if (state.way !== "eye" || state.eye !== null) return;
        if (!state.marks.delete(i)) state.marks.add(i);
        redraw(state);
      };
      return button;
    }));
  }
  choices(state, ".ways", WAYS.map(([, title]) => title), (i) => {
    state.way = WAYS[i][0];
    state.met ||= state.way === "lira";
  });
  choices(state, ".networks", data.networks.map(({ name }) => name), (i) => (state.network = i));
  redraw(state);
}

/** @param {Game} state @param {string} place @param {string[]} titles @param {(i: number) => void} turn */
function choices(state, place, titles, turn) {
  const bar = state.$(place);
  if (bar.dataset.titles === titles.join("\n")) return; // rebuilt, a button would lose the keyboard
  bar.dataset.titles = titles.join("\n");
  bar.replaceChildren(...titles.map((title, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.onclick = () => {
      turn(i);
      redraw(state);
    };
    return button;
  }));
}

/** How many are called right. @param {Game} state @param {(i: number) => boolean} called */
const right = ({ data }, called) => data.seen.filter((seen, i) => seen === called(i)).length;

/** Images in the order of a network's confidence, surest first. @param {Network} network */
const surest = ({ confidence }) => [...confidence.keys()].sort((a, b) => confidence[b] - confidence[a]);

/** Which images are called trained on, in the way chosen, of a network. @param {Game} state @param {number} network */
function called(state, network, way = state.way) {
  const found = state.data.networks[network];
  if (way === "eye") return state.marks;
  if (way === "cut") return new Set(surest(found).slice(0, state.cuts[network]));
  return new Set(found.calls?.flatMap((call, i) => (call ? [i] : [])));
}

/** @param {Game} state */
function draw(state) {
  const { $, data, way, network, range } = state;
  const now = data.networks[network];
  const calls = called(state, network);
  pressed($(".ways"), WAYS.findIndex(([name]) => name === way));
  pressed($(".networks"), network);
  $(".networks").hidden = way === "eye";
  $(".how").textContent = way === "lira" && data.missing ? data.missing : HOW[way];
  $(".threshold").hidden = way !== "cut";
  $("[data-testid=check]").hidden = way !== "eye";
  /** @type {HTMLButtonElement} */ ($("[data-testid=check]")).disabled = state.eye !== null;
  if (way === "cut") {
    const last = surest(now)[state.cuts[network] - 1];
    const words = last === undefined ? "none is called" : `the ${state.cuts[network]} surest, from ` +
      `${sure(now.confidence[last])} on`;
    range.value = `${state.cuts[network]}`;
    range.setAttribute("aria-valuetext", words);
    $("output").textContent = words;
  }
  $("[data-testid=said]").textContent = told(state, calls);
  const order = way === "eye" ? [...data.images.keys()] : surest(now);
  order.forEach((i, place) => tellImage(state, i, place, calls.has(i)));
  board(state);
}

/** @param {HTMLElement} bar @param {number} chosen */
function pressed(bar, chosen) {
  [...bar.children].forEach((button, i) => button.setAttribute("aria-pressed", `${i === chosen}`));
}

const sure = (/** @type {number} */ p) => (p > 0.9994 ? "over 99.9 %" : `${(100 * p).toFixed(1)} %`);

/** @param {Game} state @param {Set<number>} calls */
function told(state, calls) {
  const { data: { seen, missing }, way, network } = state;
  const score = `${right(state, (i) => calls.has(i))} of ${seen.length} right`;
  if (way === "eye") {
    return state.eye === null ? `${calls.size} marked, ${seen.length / 2} were trained on.` :
      `${score}. A coin reaches ${state.data.coin[0]}.`;
  }
  if (way === "lira") return missing ? "" : `LiRA has ${score}.`;
  return state.cut[network] ? `${score}.` : "Move the threshold.";
}

/** @param {Game} state @param {number} i @param {number} place @param {boolean} call */
function tellImage(state, i, place, call) {
  const { data, way, wall, network, eye } = state;
  const button = /** @type {HTMLElement} */ (wall.children[i]);
  const truth = eye === null ? "" : data.seen[i] ? "trained on" : "unseen";
  const words = way === "eye" ? "" : sure(data.networks[network].confidence[i]);
  button.style.order = `${place}`;
  button.setAttribute("aria-pressed", `${call}`);
  button.dataset.truth = truth;
  button.tabIndex = way === "eye" && eye === null ? 0 : -1; // else nothing happens at a press
  button.setAttribute("aria-label", [`Image ${place + 1}`, call ? "called trained on" : "not called", words, truth]
    .filter(Boolean).join(", "));
  /** @type {HTMLElement} */ (button.lastElementChild).textContent = [words, truth && (data.seen[i] === call ? "✓ " :
    "✕ ") + truth].filter(Boolean).join(" ");
}

/** What everybody reaches. @param {Game} state */
function board(state) {
  const { $, data, eye, cut, met } = state;
  const n = data.seen.length;
  const cell = (/** @type {string} */ first, /** @type {string} */ second) => `<td><b>${first}</b><br>${second}</td>`;
  const each = (/** @type {(network: Network, i: number) => string} */ say) => data.networks.map(say).join("");
  const of = (/** @type {number} */ i, /** @type {Way} */ way) => {
    const calls = called(state, i, way);
    return `${right(state, (image) => calls.has(image))} of ${n}`;
  };
  const wide = data.networks.length;
  const [mean, low, high] = data.coin;
  const head = $("thead");
  if (!head.firstChild || head.dataset.key !== data.key) { // names are text, never markup
    head.dataset.key = data.key;
    const row = document.createElement("tr");
    row.append(...["Who attacks", ...data.networks.map(({ name }) => name)].map((title) => {
      const found = document.createElement("th");
      found.scope = "col";
      found.textContent = title;
      return found;
    }));
    head.replaceChildren(row);
  }
  $("tbody").innerHTML = `
    <tr><th scope="row">A coin</th><td colspan="${wide}"><b>${mean} of ${n}</b> on average, ${low} to ${high} in 95 of
      100 games</td></tr>
    <tr><th scope="row">You, by eye</th><td colspan="${wide}"><b>${eye === null ? "…" : `${eye} of ${n}`}</b>
      </td></tr>
    <tr><th scope="row">You, by a threshold</th>${each((network, i) => (cut[i]
      ? cell(of(i, "cut"), `the best over all ${data.all} images: ${percent(network.best)}`) : cell("…", "")))}</tr>
    <tr><th scope="row">LiRA</th>${data.missing ? `<td colspan="${wide}">cannot play here</td>` : each((network, i) =>
      (met && network.lira !== null ? cell(of(i, "lira"), `over all ${data.all} images: ${percent(network.lira)}`)
        : cell("…", "")))}</tr>`;
}
