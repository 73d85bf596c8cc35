/* The attacker's threshold: a dot for each image, the errors on the same axis, and the images themselves, all redrawn
 * in the browser while the threshold is dragged. live_maths.js and canvas.js come before this in one script.
 * Three parts: maths, drawing, wiring. Tests: tests/test_privacy.py.
 */

// ---------------------------------------------------------------------------------------------------------- maths

export const ascending = (values) => Float64Array.from(values).sort();

/** How many of the ascending values are at least the threshold. */
export function atLeast(sorted, threshold) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < threshold) low = middle + 1;
    else high = middle;
  }
  return sorted.length - low;
}

/** The errors of "a member if at least the threshold"; both groups ascending. */
export function errorsAt({ members, others }, threshold) {
  const fpr = atLeast(others, threshold) / others.length;
  const fnr = 1 - atLeast(members, threshold) / members.length;
  return { fpr, fnr, balanced: 1 - (fpr + fnr) / 2 };
}

/** The thresholds worth trying, falling: none is called a member, then one distinct value after another. */
const candidates = ({ members, others }) => [Infinity, ...[...new Set([...members, ...others])].sort((a, b) => b - a)];

/** Where the balanced accuracy is best; the highest such threshold. */
export function bestThreshold(groups) {
  let best = { threshold: Infinity, balanced: 0.5 };
  for (const threshold of candidates(groups)) {
    const { balanced } = errorsAt(groups, threshold);
    if (balanced > best.balanced + 1e-12) best = { threshold, balanced };
  }
  return best;
}

/** Where most members are found at no more than that false-positive rate. */
export function thresholdAtRate(groups, rate) {
  const allowed = Math.floor(rate * groups.others.length + 1e-9);
  let found = { threshold: Infinity, tpr: 0 };
  for (const threshold of candidates(groups)) {
    if (atLeast(groups.others, threshold) > allowed) break;
    const tpr = atLeast(groups.members, threshold) / groups.members.length;
    if (tpr > found.tpr) found = { threshold, tpr };
  }
  return found;
}

/** Bin and place within the bin (from 1, the highest value first) of each value. */
export function stacked(values, [low, high], bins) {
  const bin = values.map((v) => Math.min(Math.max(Math.trunc(((v - low) / (high - low)) * bins), 0), bins - 1));
  const taken = new Array(bins).fill(0);
  const place = new Array(values.length);
  for (const i of [...values.keys()].sort((a, b) => values[b] - values[a])) place[i] = ++taken[bin[i]];
  return { bin, place };
}

/** Who is right and who is wrong at a threshold: positions within each group, the surest first. */
export function sides(members, others, threshold) {
  const ordered = (values, yes, falling) => [...values.keys()].filter((i) => values[i] >= threshold === yes)
    .sort((a, b) => (falling ? values[b] - values[a] : values[a] - values[b]));
  return {
    found: ordered(members, true, true), spared: ordered(others, false, false),
    missed: ordered(members, false, false), accused: ordered(others, true, true),
  };
}

// -------------------------------------------------------------------------------------------------------- drawing

const BINS = 70;
const TICKS = (low, high) => {
  const rough = (high - low) / 7;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough);
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high + 1e-9; t += step) ticks.push(+t.toPrecision(6));
  return ticks;
};

/** Where everything stands: the butterfly at the left, the curves at the right, one vertical axis. */
function layoutOf({ w, h }, { domain }, wings) {
  const [top, bottom, left, right] = [48, h - 34, 76, w - 28];
  const split = Math.round(left + (w - left) * 0.58);
  const [low, high] = domain;
  const span = (high - low) / (bottom - top);
  const middle = (left + split) / 2;
  const reach = Math.max(...wings.flatMap(({ place }) => place), 12);
  const step = Math.min((split - left) / 2 / (reach + 1), 11);
  return {
    top, bottom, left, split, right, middle, step, low, high,
    radius: Math.min(Math.max(step * 0.46, 1.6), 3.8),
    y: (value) => bottom - (Math.min(Math.max(value, low), high) - low) / span,
    value: (y) => low + (bottom - Math.min(Math.max(y, top), bottom)) * span,
    x: (rate) => split + 34 + rate * (right - split - 34),
  };
}

function dotAt(layout, wings, side, i) {
  const { bin, place } = wings[side];
  const height = (layout.bottom - layout.top) / BINS;
  return [layout.middle + (side ? 1 : -1) * place[i] * layout.step, layout.bottom - (bin[i] + 0.5) * height];
}

/** All that does not depend on the threshold: axis, curves, band. */
function drawBackdrop({ pen, w, h }, state) {
  const { layout: l, data, theme, groups, null_: seeds, original } = state;
  pen.clearRect(0, 0, w, h);
  for (const tick of TICKS(l.low, l.high)) {
    line(pen, css(theme.grid), 1, l.left, l.y(tick), l.right, l.y(tick));
    write(pen, `${tick}`.replace("-", "−"), l.left - 8, l.y(tick) + 5, css(theme.muted), theme.font(14), "right");
  }
  pen.save();
  pen.translate(15, (l.top + l.bottom) / 2);
  pen.rotate(-Math.PI / 2);
  write(pen, data.title, 0, 0, css(theme.text), theme.font(15, 600), "center");
  pen.restore();
  line(pen, css(theme.original), 1, l.middle, l.top, l.middle, l.bottom);
  for (const rate of [0, 0.25, 0.5, 0.75, 1]) {
    line(pen, css(theme.grid), rate === 0.5 ? 2 : 1, l.x(rate), l.top, l.x(rate), l.bottom);
    write(pen, percent(rate, 0), l.x(rate), l.bottom + 20, css(theme.muted), theme.font(14), "center");
  }
  const values = Array.from({ length: l.bottom - l.top + 1 }, (_, i) => l.value(l.top + i));
  if (seeds.length) {
    const range = values.map((v) => extent(seeds.map((seed) => errorsAt(seed, v).balanced)));
    pen.beginPath();
    range.forEach(([low], i) => pen[i ? "lineTo" : "moveTo"](l.x(low) - 1, l.top + i));
    for (let i = range.length - 1; i >= 0; i--) pen.lineTo(l.x(range[i][1]) + 1, l.top + i);
    pen.fillStyle = css(theme.retrained, 0.35);
    pen.fill();
  }
  const curve = (of, what, colour, width, dash) => {
    pen.beginPath();
    values.forEach((v, i) => pen[i ? "lineTo" : "moveTo"](l.x(errorsAt(of, v)[what]), l.top + i));
    Object.assign(pen, { strokeStyle: css(colour), lineWidth: width, lineJoin: "round" });
    pen.setLineDash(dash);
    pen.stroke();
    pen.setLineDash([]);
  };
  curve(original, "balanced", theme.original, 2, [7, 4]);
  curve(groups, "fpr", theme.accent, 2, [2, 3]);
  curve(groups, "fnr", theme.accent, 2, [9, 4]);
  curve(groups, "balanced", theme.accent, 3.5, []);
}

const extent = (values) => [Math.min(...values), Math.max(...values)];

function drawAttack(state) {
  const { surface, layout: l, theme, data, wings, threshold, errors } = state;
  const { pen, w, h } = surface;
  pen.clearRect(0, 0, w, h);
  pen.drawImage(state.backdrop, 0, 0, w, h);
  for (const [side, group] of [data.members, data.others].entries()) {
    const r = l.radius;
    for (const called of [false, true]) {
      pen.beginPath();
      group.value.forEach((v, i) => {
        if (v >= threshold !== called) return;
        const [x, y] = dotAt(l, wings, side, i);
        if (side) pen.moveTo(x + r * 1.25, y), pen.lineTo(x, y + r * 1.25), pen.lineTo(x - r * 1.25, y), pen.lineTo(x, y - r * 1.25), pen.closePath();
        else pen.moveTo(x + r, y), pen.arc(x, y, r, 0, 2 * Math.PI);
      });
      if (called) (pen.fillStyle = css(theme.accent)), pen.fill();
      Object.assign(pen, { strokeStyle: css(theme.accent), lineWidth: 1.2 });
      pen.stroke();
    }
  }
  for (const [words, rate, x, align] of [["● Training images", 1 - errors.fnr, l.left + 4, "left"], ["◆ Never seen", errors.fpr, l.split, "right"]]) {
    write(pen, words, x, 18, css(theme.text), theme.font(15, 600), align);
    write(pen, `${percent(rate, 0)} called members`, x, 37, css(theme.muted), theme.font(15), align);
  }
  const y = l.y(threshold);
  line(pen, css(theme.text), 2, l.left, y, l.right, y, [7, 4]);
  for (const rate of [errors.fpr, errors.fnr]) disc(pen, l.x(rate), y, 5, { fill: css(theme.ground), stroke: css(theme.accent), width: 2 });
  disc(pen, l.x(errors.balanced), y, 7, { fill: css(theme.accent), stroke: css(theme.ground), width: 2 });
  pen.fillStyle = css(theme.text); // the handle
  pen.beginPath();
  pen.roundRect(l.split + 3, y - 9, 20, 18, 5);
  pen.fill();
  for (const dy of [-3, 3]) line(pen, css(theme.ground), 1.5, l.split + 8, y + dy, l.split + 18, y + dy);
  if (state.picked) {
    const [x, at] = dotAt(l, wings, state.picked.side, state.picked.i);
    disc(pen, x, at, 9, { stroke: css(theme.ground), width: 5 });
    disc(pen, x, at, 9, { stroke: css(theme.text), width: 2 });
  }
}

// --------------------------------------------------------------------------------------------------------- wiring

const WALLS = {
  found: "training images called members", spared: "never-seen images left alone",
  missed: "training images missed", accused: "never-seen images called members",
};
const SHOWN = 28; // images of a wall at most
const NUMBER = (name, title, way) => `<div class="number"><b>${title}</b><output data-testid="${name}"></output><span data-testid="${name}-null"></span><small>${way}</small></div>`;
const WALL = (name) => `<figure data-testid="wall-${name}"><figcaption></figcaption><div></div></figure>`;
const ATTACK = `<div class="aims">
    <button data-testid="best" type="button"></button><button data-testid="low" type="button"></button><button data-testid="worst" type="button"></button></div>
  <canvas tabindex="0" role="slider" data-testid="attack" aria-orientation="vertical"></canvas>
  <p class="legend"><span><i class="solid"></i>balanced accuracy</span><span><i class="dashed"></i>missed members (FNR)</span><span><i class="dotted"></i>false alarms (FPR)</span>
    <span><i class="grey"></i>balanced accuracy on the original</span><span class="null"><i class="band"></i>on retrained networks</span></p>
  <div class="numbers">${NUMBER("balanced", "Balanced accuracy", "a coin has 50 %")}${NUMBER("fpr", "False alarms, FPR", "never-seen images called members")}${NUMBER("fnr", "Missed, FNR", "training images not called members")}</div>
  <div class="walls"><section><h3>The attacker is right</h3>${WALL("found")}${WALL("spared")}</section>
    <section><h3>The attacker is wrong</h3>${WALL("missed")}${WALL("accused")}</section></div>
  <div class="card" data-testid="card" hidden></div>`;

const attacks = new WeakMap();

export default function (component) {
  const { parentElement, data } = component;
  const root = parentElement.querySelector(".lacuna-attack");
  if (!root || !data) return;
  let state = attacks.get(parentElement);
  if (state?.root !== root) {
    state?.end();
    attacks.set(parentElement, (state = mount(root)));
  }
  state.component = component;
  take(state, data);
  return () => {
    state.end();
    if (attacks.get(parentElement) === state) attacks.delete(parentElement);
  };
}

function mount(root) {
  root.innerHTML = ATTACK;
  const $ = (name) => root.querySelector(`[data-testid=${name}]`);
  const life = new AbortController();
  const state = { root, $, canvas: $("attack"), frame: 0, picked: null };
  const observer = new ResizeObserver(() => {
    state.stale = true;
    draw(state); // at once: a resized canvas is blank until drawn
  });
  observer.observe(root);
  state.end = () => (life.abort(), observer.disconnect(), cancelAnimationFrame(state.frame));
  const { canvas } = state;
  let start = null;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    start = event;
  };
  canvas.onpointermove = (event) => {
    if (!start) return;
    if (!state.dragging && Math.abs(event.clientY - start.clientY) < 3) return;
    state.dragging = true;
    aim(state, state.layout.value(event.offsetY));
  };
  canvas.onpointerup = (event) => {
    const dot = !state.dragging && nearestDot(state, event);
    if (dot) pick(state, dot);
    else aim(state, state.layout.value(event.offsetY));
    start = null;
    state.dragging = false;
  };
  canvas.onpointercancel = () => ((start = null), (state.dragging = false));
  canvas.onkeydown = (event) => {
    const step = (state.layout.high - state.layout.low) / 200;
    const moves = { ArrowUp: step, ArrowRight: step, ArrowDown: -step, ArrowLeft: -step, PageUp: 10 * step, PageDown: -10 * step,
      Home: -Infinity, End: Infinity };
    if (!(event.key in moves)) return;
    event.preventDefault();
    aim(state, state.threshold + moves[event.key]);
  };
  $("best").onclick = () => aim(state, state.best.threshold);
  $("low").onclick = () => aim(state, state.low.threshold);
  $("worst").onclick = () => {
    if (state.data.worst.active) aim(state, state.best.threshold);
    else state.component.setTriggerValue("worst", true);
  };
  const { signal } = life;
  document.addEventListener("keydown", (event) => event.key === "Escape" && pick(state, null), { signal });
  document.addEventListener("pointerdown", (event) => {
    if (!event.composedPath().some((element) => element === root)) pick(state, null);
  }, { signal });
  return state;
}

/** New data or theme from the server; the threshold stays unless it is another attack. */
function take(state, data) {
  const { $ } = state;
  state.data = data;
  const both = ({ members, others }) => ({ members: ascending(members), others: ascending(others) });
  state.groups = both({ members: data.members.value, others: data.others.value });
  state.original = both(data.original);
  state.null_ = data.retrained.map(both);
  state.best = bestThreshold(state.groups);
  state.low = thresholdAtRate(state.groups, 0.01);
  state.wings = [data.members, data.others].map((group) => stacked(group.value, data.domain, BINS));
  if (data.key !== state.key) {
    Object.assign(state, { key: data.key, picked: null, threshold: limited(data, state.best.threshold) });
    $("card").hidden = true;
  }
  const button = (name, icon, words, value, title) => {
    const said = document.createElement("b");
    said.textContent = value;
    $(name).replaceChildren(`${icon} ${words} `, said);
    $(name).title = title;
  };
  button("best", "◎", "Best guess", percent(state.best.balanced), `The threshold of ${data.title} with the best balanced accuracy.`);
  button("low", "▲", "Found at 1 % false alarms", percent(state.low.tpr), "The threshold that finds most members while at most one never-seen image in a hundred is called a member (TPR at 1 % FPR).");
  button("worst", "⚠", "Worst case", `${percent(data.worst.balanced)} by ${data.worst.title}`, "The statistic whose best threshold has the highest balanced accuracy.");
  state.root.querySelector(".legend .null").hidden = !data.retrained.length;
  state.stale = true;
  redraw(state);
}

const limited = ({ domain: [low, high] }, value) => Math.min(Math.max(value, low), high + (high - low) / 200);

function aim(state, threshold) {
  state.threshold = limited(state.data, threshold);
  redraw(state);
}

function redraw(state) {
  state.frame ||= requestAnimationFrame(() => draw(state));
}

function prepare(state) {
  state.stale = false;
  state.theme = themeOf(state.root, state.data.palette, 0);
  const { theme, root } = state;
  root.style.setProperty("--accent", css(theme.accent));
  root.style.setProperty("--original", css(theme.original));
  root.style.setProperty("--retrained", css(theme.retrained));
  state.surface = surfaceOf(state.canvas);
  state.layout = layoutOf(state.surface, state.data, state.wings);
  drawBackdrop(state.surface, state);
  state.backdrop = new OffscreenCanvas(Math.max(state.canvas.width, 1), Math.max(state.canvas.height, 1));
  if (state.surface.w) state.backdrop.getContext("2d").drawImage(state.canvas, 0, 0);
}

function draw(state) {
  const started = performance.now();
  state.frame = 0;
  if (!state.data || !state.root.clientWidth) return;
  if (state.stale) prepare(state);
  state.errors = errorsAt(state.groups, state.threshold);
  drawAttack(state);
  tell(state);
  if (state.picked) showCard(state);
  if (window.__lacunaMeasure) (window.__lacunaFrames = [...(window.__lacunaFrames ?? []), performance.now() - started].slice(-600));
}

/** Numbers, words and walls beside the canvas, which are also what tests read. */
function tell(state) {
  const { $, data, errors, threshold, canvas, null_: seeds } = state;
  const among = seeds.map((seed) => errorsAt(seed, threshold));
  for (const name of ["balanced", "fpr", "fnr"]) {
    $(name).textContent = percent(errors[name]);
    const [low, high] = extent(among.map((seed) => seed[name]));
    const [from, to] = [(100 * low).toFixed(0), (100 * high).toFixed(0)];
    $(`${name}-null`).textContent = seeds.length ? `retrained ${from === to ? "" : `${from}–`}${percent(high, 0)}` : "";
  }
  canvas.dataset.value = threshold;
  const [low, high] = data.domain;
  const said = `${threshold.toPrecision(3)}: balanced accuracy ${percent(errors.balanced)}, false alarms ${percent(errors.fpr)}, missed members ${percent(errors.fnr)}`;
  for (const [name, value] of Object.entries({ label: `Threshold on the ${data.title}; arrow keys move it`, valuemin: low, valuemax: high, valuenow: threshold, valuetext: said })) {
    canvas.setAttribute(`aria-${name}`, value);
  }
  const now = sides(data.members.value, data.others.value, threshold);
  for (const [name, words] of Object.entries(WALLS)) {
    const side = +["spared", "accused"].includes(name);
    const group = side ? data.others : data.members;
    const figure = $(`wall-${name}`);
    figure.firstElementChild.textContent = `${now[name].length} of ${group.value.length} ${words}`;
    const box = figure.lastElementChild;
    const shown = now[name].slice(0, SHOWN);
    while (box.children.length > shown.length) box.lastElementChild.remove();
    shown.forEach((i, at) => {
      const picture = box.children[at] ?? box.appendChild(Object.assign(document.createElement("img"), { width: 32, height: 32 }));
      if (picture.dataset.row === `${group.row[i]}`) return;
      picture.dataset.row = group.row[i];
      picture.src = url(data, group.row[i]);
      picture.alt = data.classes[group.label[i]];
      picture.onclick = () => pick(state, { side, i });
    });
  }
}

const url = (data, row) => new URL(`${data.image}${row}.png`, document.baseURI);

function nearestDot(state, event) {
  let found = null;
  let best = Math.max(state.layout.radius + 3, 6);
  [state.data.members, state.data.others].forEach((group, side) => group.value.forEach((_, i) => {
    const [x, y] = dotAt(state.layout, state.wings, side, i);
    const gap = Math.hypot(x - event.offsetX, y - event.offsetY);
    if (gap < best) [found, best] = [{ side, i }, gap];
  }));
  return found;
}

function pick(state, dot) {
  if (!dot && !state.picked) return;
  state.picked = dot;
  state.$("card").hidden = !dot;
  redraw(state);
}

function showCard(state) {
  const { data, picked: { side, i }, layout, wings, canvas } = state;
  const card = state.$("card");
  const group = side ? data.others : data.members;
  const value = group.value[i];
  const rows = [
    [data.title, value.toPrecision(3)],
    ["The attacker", value >= state.threshold ? "calls it a member" : "calls it never seen"],
    ["Before", group.before[i]], ["After", group.after[i]],
  ];
  const text = (tag, words) => Object.assign(document.createElement(tag), { textContent: words });
  const content = `${data.key} ${side} ${i} ${value >= state.threshold}`;
  if (card.dataset.content !== content) {
    card.dataset.content = content;
    const list = document.createElement("dl");
    list.append(...rows.flatMap(([name, words]) => [text("dt", name), text("dd", words)]));
    const who = document.createElement("div");
    who.append(text("b", data.classes[group.label[i]]), text("span", side ? "never seen" : "training image"));
    card.replaceChildren(Object.assign(new Image(84, 84), { src: url(data, group.row[i]), alt: "" }), who, list);
  }
  const [x, y] = dotAt(layout, wings, side, i);
  card.style.left = `${Math.min(Math.max(canvas.offsetLeft + x + 16, 0), state.root.clientWidth - card.offsetWidth)}px`;
  card.style.top = `${canvas.offsetTop + Math.min(Math.max(y - 40, 0), canvas.offsetHeight - card.offsetHeight)}px`;
}
