/* Numbers, words and images beside the canvas, which are also what tests read. */

import { redraw } from "../mount.js";
import { addressOf } from "../wire.js";
import { percent } from "../words.js";
import { dotAt } from "./drawing.js";
import { errorsAt, extent, sides } from "./errors.js";

/** @import { Attack, AttackData, Dot } from "./types" */

const WALLS = {
  found: "training images called members", spared: "never-seen images left alone",
  missed: "training images missed", accused: "never-seen images called members",
};
const SHOWN = 28; // images of a wall at most

/** @param {string} name @param {string} title @param {string} way */
const NUMBER = (name, title, way) => `<div class="number"><b>${title}</b><output data-testid="${name}"></output>
  <span data-testid="${name}-null"></span><small>${way}</small></div>`;
/** @param {string} name */
const WALL = (name) => `<figure data-testid="wall-${name}"><figcaption></figcaption><div></div></figure>`;
export const PAGE = `<div class="aims">
    <button data-testid="best" type="button"></button><button data-testid="low" type="button"></button>
    <button data-testid="worst" type="button"></button></div>
  <canvas tabindex="0" role="slider" data-testid="attack" aria-orientation="vertical"
    aria-label="Threshold" aria-valuenow="0"></canvas>
  <p class="legend"><span><i class="solid"></i>balanced accuracy</span>
    <span><i class="dashed"></i>missed members (FNR)</span><span><i class="dotted"></i>false alarms (FPR)</span>
    <span><i class="grey"></i>balanced accuracy on the original</span>
    <span class="null"><i class="band"></i>on retrained networks</span></p>
  <div class="numbers">${NUMBER("balanced", "Balanced accuracy", "a coin has 50 %")}
    ${NUMBER("fpr", "False alarms, FPR", "never-seen images called members")}
    ${NUMBER("fnr", "Missed, FNR", "training images not called members")}</div>
  <div class="walls"><section><h3>The attacker is right</h3>${WALL("found")}${WALL("spared")}</section>
    <section><h3>The attacker is wrong</h3>${WALL("missed")}${WALL("accused")}</section></div>
  <div class="card pinned" data-testid="card" hidden></div>`;

/** @param {Attack} state @param {string} name of the test id */
export const part = (state, name) => state.$(`[data-testid=${name}]`);

/** @param {AttackData} data @param {number} row */
const imageOf = (data, row) => `${addressOf(`${data.image}${row}.png`)}`;

/** The buttons, which stand still while the threshold moves. @param {Attack} state */
export function tellAims(state) {
  const { data, best, low } = state;
  /** @param {string} name @param {string} words @param {string} value @param {string} title */
  const button = (name, words, value, title) => {
    const said = document.createElement("b");
    said.textContent = value;
    part(state, name).replaceChildren(`${words} `, said);
    part(state, name).title = title;
  };
  button("best", "◎ Best guess", percent(best.balanced),
    `The threshold of ${data.title} with the best balanced accuracy.`);
  button("low", "▲ Found at 1 % false alarms", percent(low.tpr),
    "The threshold that finds most members while at most one never-seen image in a hundred is called a member " +
    "(TPR at 1 % FPR).");
  button("worst", "⚠ Worst case", `${percent(data.worst.balanced)} by ${data.worst.title}`,
    "The statistic whose best threshold has the highest balanced accuracy.");
  state.$(".legend .null").hidden = !data.retrained.length;
}

/** @param {Attack} state */
export function tell(state) {
  const { data, errors, threshold, canvas, seeds } = state;
  const among = seeds.map((seed) => errorsAt(seed, threshold));
  for (const name of /** @type {const} */ (["balanced", "fpr", "fnr"])) {
    part(state, name).textContent = percent(errors[name]);
    const [low, high] = extent(among.map((seed) => seed[name]));
    const [from, to] = [(100 * low).toFixed(0), (100 * high).toFixed(0)];
    const range = `${from === to ? "" : `${from}–`}${percent(high, 0)}`;
    part(state, `${name}-null`).textContent = seeds.length ? `retrained ${range}` : "";
  }
  canvas.dataset.value = `${threshold}`;
  const [low, high] = data.domain;
  const said = `${threshold.toPrecision(3)}: balanced accuracy ${percent(errors.balanced)}, ` +
    `false alarms ${percent(errors.fpr)}, missed members ${percent(errors.fnr)}`;
  const attributes = {
    label: `Threshold on the ${data.title}; arrow keys move it`,
    valuemin: low, valuemax: high, valuenow: threshold, valuetext: said,
  };
  for (const [name, value] of Object.entries(attributes)) canvas.setAttribute(`aria-${name}`, `${value}`);
  fillWalls(state);
}

/** @param {Attack} state */
function fillWalls(state) {
  const { data, threshold } = state;
  const now = sides(data.members.value, data.others.value, threshold);
  for (const name of /** @type {const} */ (["found", "spared", "missed", "accused"])) {
    const side = +["spared", "accused"].includes(name);
    const group = side ? data.others : data.members;
    const [caption, box] = part(state, `wall-${name}`).children;
    caption.textContent = `${now[name].length} of ${group.value.length} ${WALLS[name]}`;
    const shown = now[name].slice(0, SHOWN);
    while (box.children.length > shown.length) box.lastElementChild?.remove();
    shown.forEach((i, at) => {
      const picture = /** @type {HTMLImageElement} */ (box.children[at] ??
        box.appendChild(Object.assign(document.createElement("img"), { width: 32, height: 32 })));
      if (picture.dataset.row === `${group.row[i]}`) return;
      picture.dataset.row = `${group.row[i]}`;
      picture.src = imageOf(data, group.row[i]);
      picture.alt = data.classes[group.label[i]];
      picture.onclick = () => pick(state, { side, i });
    });
  }
}

/** @param {Attack} state @param {Dot | null} dot */
export function pick(state, dot) {
  if (!dot && !state.picked) return;
  state.picked = dot;
  part(state, "card").hidden = !dot;
  redraw(state);
}

/** @param {Attack} state @param {Dot} picked */
export function showCard(state, { side, i }) {
  const { data, layout, wings, canvas } = state;
  const card = part(state, "card");
  const group = side ? data.others : data.members;
  const called = group.value[i] >= state.threshold;
  const content = `${data.key} ${side} ${i} ${called}`;
  if (card.dataset.content !== content) {
    card.dataset.content = content;
    const text = (/** @type {string} */ tag, /** @type {string} */ words) =>
      Object.assign(document.createElement(tag), { textContent: words });
    const rows = [
      [data.title, group.value[i].toPrecision(3)],
      ["The attacker", called ? "calls it a member" : "calls it never seen"],
      ["Before", group.before[i]], ["After", group.after[i]],
    ];
    const list = document.createElement("dl");
    list.append(...rows.flatMap(([name, words]) => [text("dt", name), text("dd", words)]));
    const who = Object.assign(document.createElement("div"), { className: "who" });
    who.append(text("b", data.classes[group.label[i]]), text("span", side ? "never seen" : "training image"));
    const picture = Object.assign(new Image(84, 84), { src: imageOf(data, group.row[i]), alt: "" });
    card.replaceChildren(picture, who, list);
  }
  const [x, y] = dotAt(layout, wings, side, i);
  const left = Math.min(Math.max(canvas.offsetLeft + x + 16, 0), state.root.clientWidth - card.offsetWidth);
  const top = canvas.offsetTop + Math.min(Math.max(y - 40, 0), canvas.offsetHeight - card.offsetHeight);
  card.style.left = `${left}px`;
  card.style.top = `${top}px`;
}
