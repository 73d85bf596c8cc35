/* Lacuna's live lane: everything that must answer within the frame while α or λ is dragged.
 *
 * One Streamlit component (v2). The server is asked for nothing while dragging: the answers come from a histogram of
 * the importance ratios (exact up to one bin) and from a landscape of points evaluated beforehand (interpolated, and
 * drawn so). Methods without α and λ are "still": nothing to drag, only exact outcomes, and how far each layer moved.
 * The pure maths is live_maths.js, what any canvas needs is canvas.js: ui/scripts.py puts the three into one script.
 * Two parts: drawing (data -> canvas), wiring. Tests: tests/test_live_maths.py.
 */

// -------------------------------------------------------------------------------------------------------- drawing

/** Pad coordinates: both axes logarithmic over the range of the ticks. */
function padScale({ w, h }, alphas, lambdas) {
  const box = { left: 34, top: 8, width: w - 34 - 12, height: h - 8 - 22 };
  const axis = (ticks) => [Math.log(ticks[0]), Math.log(ticks.at(-1) / ticks[0])];
  const [[a0, a], [l0, l]] = [axis(alphas), axis(lambdas)];
  return {
    ...box,
    x: (alpha) => box.left + ((Math.log(alpha) - a0) / a) * box.width,
    y: (lambda) => box.top + box.height - ((Math.log(lambda) - l0) / l) * box.height,
    alpha: (x) => Math.exp(a0 + (Math.min(Math.max((x - box.left) / box.width, 0), 1)) * a),
    lambda: (y) => Math.exp(l0 + (1 - Math.min(Math.max((y - box.top) / box.height, 0), 1)) * l),
  };
}

/** The shaded map behind the pad. Drawn once per change of the landscape, never per frame. */
function padShade(scale, landscape, gauges, theme) {
  const [w, h] = [72, 36];
  const canvas = new OffscreenCanvas(w, h);
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(w, h);
  const values = new Float64Array(gauges.length);
  for (let i = 0; i < w * h; i++) {
    const x = scale.left + (((i % w) + 0.5) / w) * scale.width;
    const y = scale.top + ((Math.floor(i / w) + 0.5) / h) * scale.height;
    const spot = locate(landscape, scale.alpha(x), scale.lambda(y));
    const far = spot && distance(gauges, blend(landscape, spot, "gauges", values));
    if (far !== null && !Number.isNaN(far)) pixels.data.set([...mix(theme.near, theme.far, Math.min(far, 1)), 255], 4 * i);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

function drawPad({ pen, w, h }, scale, { landscape, shade, alpha, lambda, ceiling, exact, range }, theme) {
  const { left, top, width, height } = scale;
  const [right, bottom] = [left + width, top + height];
  pen.clearRect(0, 0, w, h);
  pen.fillStyle = css(theme.track);
  pen.fillRect(left, top, width, height);
  if (shade) pen.drawImage(shade, left, top, width, height);
  const decades = ([low, high]) => {
    const ks = [];
    for (let k = Math.ceil(Math.log10(low) - 1e-9); k <= Math.log10(high) + 1e-9; k++) ks.push(k);
    return ks;
  };
  for (const k of decades(range.alpha)) {
    line(pen, css(theme.text, 0.12), 1, scale.x(10 ** k), top, scale.x(10 ** k), bottom);
    write(pen, power(k), scale.x(10 ** k), bottom + 15, css(theme.muted), theme.font(12), "center");
  }
  for (const k of decades(range.lambda)) {
    line(pen, css(theme.text, 0.12), 1, left, scale.y(10 ** k), right, scale.y(10 ** k));
    write(pen, power(k), left - 5, Math.max(scale.y(10 ** k) + 4, 12), css(theme.muted), theme.font(12), "right");
  }
  write(pen, "α →", right - 34, bottom + 15, css(theme.text), theme.font(13, 600), "right");
  write(pen, "λ ↑", left - 5, top + height * 0.3, css(theme.text), theme.font(13, 600), "right");
  landscape?.cells.forEach((_, index) => {
    const columns = landscape.lambdas.length;
    const [x, y] = [scale.x(landscape.alphas[Math.floor(index / columns)]), scale.y(landscape.lambdas[index % columns])];
    disc(pen, x, y, 1.8, { fill: css(theme.text, 0.75) });
  });
  if (ceiling && ceiling > range.alpha[0] && ceiling <= range.alpha[1]) {
    const x = scale.x(ceiling);
    line(pen, css(theme.text), 1.5, x, top, x, bottom, [5, 4]);
    const phrases = [`ceiling 1/ρ = ${+short(ceiling)}: nothing selected beyond`, `ceiling 1/ρ = ${+short(ceiling)}`];
    face(pen, theme.font(12, 500));
    const room = Math.max(x - left, right - x) - 14;
    const label = phrases.find((text) => pen.measureText(text).width < room) ?? phrases[1];
    const onLeft = x - left > right - x;
    const length = pen.measureText(label).width;
    pen.fillStyle = css(theme.ground, 0.85); // the shade behind may be of any lightness
    pen.fillRect(onLeft ? x - length - 11 : x + 3, top + 4, length + 8, 18);
    write(pen, label, onLeft ? x - 7 : x + 7, top + 17, css(theme.text), theme.font(12, 500), onLeft ? "right" : "left");
  }
  const [x, y] = [scale.x(alpha), scale.y(lambda)];
  line(pen, css(theme.accent, 0.6), 1, x, y + 10, x, bottom);
  line(pen, css(theme.accent, 0.6), 1, left, y, x - 10, y);
  disc(pen, x, y, 9, { stroke: css(theme.ground), width: 6 });
  disc(pen, x, y, 9, { stroke: css(theme.accent), width: 3 });
  if (exact) disc(pen, x, y, 3.5, { fill: css(theme.accent), stroke: css(theme.ground) });
}

/** One bullet gauge: 0..100 %, original (grey tick), retrained (band over the seeds), unlearned (accent). */
function drawGauge({ pen, w, h }, { original, retrained, interval, value, exact }, theme) {
  const [inset, y, thick] = [9, h / 2, 14];
  const x = (share) => inset + share * (w - 2 * inset);
  const label = (text, at, baseline, colour) => {
    face(pen, theme.font(12));
    const half = pen.measureText(text).width / 2;
    write(pen, text, Math.min(Math.max(at, half), w - half), baseline, colour, theme.font(12), "center");
  };
  pen.clearRect(0, 0, w, h);
  pen.fillStyle = css(theme.track);
  pen.beginPath();
  pen.roundRect(inset, y - thick / 2, w - 2 * inset, thick, 3);
  pen.fill();
  for (const quarter of [0.25, 0.5, 0.75]) line(pen, css(theme.grid), 1, x(quarter), y - thick / 2, x(quarter), y + thick / 2);
  if (original !== null && original !== undefined) {
    line(pen, css(theme.original), 3, x(original), y - 13, x(original), y + 10);
    label(`original ${percent(original, 0)}`, x(original), y - 16, css(theme.muted));
  }
  if (retrained?.length) {
    const [low, high] = [Math.min(...retrained), Math.max(...retrained)];
    const width = Math.max(x(high) - x(low), 5);
    pen.fillStyle = css(theme.retrained, 0.35);
    pen.fillRect((x(low) + x(high) - width) / 2, y - 12, width, 25);
    line(pen, css(theme.retrained), 2, x(mean(retrained)), y - 12, x(mean(retrained)), y + 13);
    const [from, to] = [(100 * low).toFixed(0), percent(high, 0)];
    label(`retrained ${`${from}\u202f%` === to ? to : `${from}–${to}`}`, x(mean(retrained)), y + 25, css(theme.retrained));
  }
  if (!Number.isFinite(value)) return;
  if (exact && interval) {
    line(pen, css(theme.accent), 2, x(interval[0]), y, x(interval[1]), y);
    for (const end of interval) line(pen, css(theme.accent), 2, x(end), y - 5, x(end), y + 5);
  }
  disc(pen, x(value), y, 7.5, { fill: css(exact ? theme.accent : theme.ground), stroke: css(theme.ground), width: 4 });
  disc(pen, x(value), y, 7, { fill: css(exact ? theme.accent : theme.ground), stroke: css(theme.accent), width: 2.5, dash: exact ? [] : [3, 2.2] });
}

/** Where rows, names and numbers of the layers stand: the same in the heatmap and in the bars. */
function rowsLayout({ pen, w, h }, scene, theme) {
  const { layers } = scene.header;
  const names = layers.map((layer) => layer.name.replace(/\.weight$/, ""));
  const row = Math.min((h - 38) / layers.length, 24);
  face(pen, theme.font(12));
  const labels = Math.min(Math.max(...names.map((name) => pen.measureText(name).width)), 0.26 * w);
  const shorten = (name) => {
    let text = name;
    for (let cut = 1; pen.measureText(text).width > labels && cut < name.length; cut++) text = `…${name.slice(cut)}`;
    return text;
  };
  const left = labels + 20;
  return { row, left, width: w - left - 76, top: 20, every: Math.ceil(11 / row), labels: names.map(shorten) };
}

/** One layer's kind, name and number, beside what is drawn of it. */
function writeRow({ pen }, { row, top, every, labels }, scene, l, number, right, theme) {
  if (l % every) return;
  const base = top + l * row + (row > 4 ? row - 1.5 : row) / 2 + 4;
  const text = theme.font(12);
  write(pen, scene.header.layers[l].kind.slice(0, 1).toUpperCase(), 0, base, css(theme.muted), text);
  write(pen, labels[l], 14, base, css(theme.text), text);
  write(pen, number, right, base, css(theme.text), text, "right");
}

/** Geometry and ink of the heatmap that stay the same while dragging. */
function heatLayout(surface, scene, sums, domain, theme) {
  const rows = rowsLayout(surface, scene, theme);
  const { left, width } = rows;
  const bins = sums.bins;
  const ink = new Uint8Array(sums.layers * bins);
  const dense = scene.arrays.counts.map((count, i) => count / sums.size[Math.floor(i / bins)]);
  // The outermost bins also hold what lies beyond the range: they must not set the scale.
  const most = dense.reduce((a, d, i) => (i % bins === 0 || i % bins === bins - 1 ? a : Math.max(a, d)), 0) || 1;
  dense.forEach((d, i) => (ink[i] = d ? 25 + 230 * Math.sqrt(Math.min(d / most, 1)) : 0)); // 25: no weight is invisible
  const first = Math.max((domain[0] - sums.low) / sums.step, 0);
  const last = Math.min((domain[1] - sums.low) / sums.step, bins);
  const x = (log) => left + ((log - domain[0]) / (domain[1] - domain[0])) * width;
  return { ...rows, x, first, last, ink, canvas: new OffscreenCanvas(bins, sums.layers) };
}

function drawHeat(surface, layout, scene, sums, answers, { alpha, lambda, ceiling, domain }, theme) {
  const { pen, w, h } = surface;
  const { row, left, width, top, x, ink, canvas } = layout;
  const { bins, layers, low, step } = sums;
  // The colour of a column depends on r only: one table of 256 colours, then one pass over the pixels.
  const colours = new Uint32Array(bins);
  for (let b = 0; b < bins; b++) {
    const ratio = 10 ** (low + (b + 0.5) * step);
    const [r, g, bl] = ratio > alpha ? mix(theme.weak, theme.strong, 1 - Math.min(lambda / ratio, 1)) : theme.untouched;
    colours[b] = r | (g << 8) | (bl << 16);
  }
  const inkPen = canvas.getContext("2d");
  const pixels = (layout.pixels ??= inkPen.createImageData(bins, layers));
  const words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = (ink[i] << 24) | colours[i % bins];
  inkPen.putImageData(pixels, 0, 0);

  pen.clearRect(0, 0, w, h);
  const bottom = top + layers * row;
  const [from, to] = [x(low + layout.first * step), x(low + layout.last * step)];
  const bar = left + width + 8;
  const text = theme.font(12);
  for (let l = 0; l < layers; l++) {
    const y = top + l * row;
    const height = row > 4 ? row - 1.5 : row;
    pen.fillStyle = css(theme.track, 0.6);
    pen.fillRect(left, y, width, height);
    pen.drawImage(canvas, layout.first, l, layout.last - layout.first, 1, from, y, to - from, height);
    pen.fillStyle = css(theme.accent, 0.35);
    pen.fillRect(bar, y, 54 * Math.sqrt(answers.share[l]), height);
    pen.fillStyle = css(mix(theme.track, theme.strong, Math.sqrt(1 - Math.min(answers.multiplier[l], 1))));
    pen.fillRect(w - 10, y, 10, height);
    writeRow(surface, layout, scene, l, percent(answers.share[l]), bar + 54, theme);
  }
  for (let k = Math.ceil(domain[0]), lastX = -99; k <= domain[1]; k++) {
    if (x(k) - lastX < 30) continue;
    line(pen, css(theme.grid), 1, x(k), bottom, x(k), bottom + 3);
    write(pen, power(k), x(k), bottom + 15, css(theme.muted), text, "center");
    lastX = x(k);
  }
  write(pen, "r", left - 18, bottom + 15, css(theme.muted), theme.font(12, 600), "right");
  write(pen, "selected", w, 13, css(theme.muted), text, "right");
  if (ceiling) line(pen, css(theme.text), 1, x(Math.log10(ceiling)), top, x(Math.log10(ceiling)), bottom, [4, 3]);
  const cut = Math.min(x(Math.log10(alpha)), left + width); // beyond the drawn range lies next to nothing to cut
  line(pen, css(theme.text), 2, cut, top - 3, cut, bottom);
  write(pen, "α", cut, 13, css(theme.text), theme.font(13, 600), "center");
}

/** One bar per layer to its place (0..1) on the axis of relative change; `change` is null while it is not known. */
function drawBars(surface, layout, scene, places, change, theme) {
  const { pen, w, h } = surface;
  const { row, left, width, top } = layout;
  const [layers, text, height] = [places.length, theme.font(12), row > 4 ? row - 1.5 : row];
  const bottom = top + layers * row;
  pen.clearRect(0, 0, w, h);
  pen.fillStyle = css(theme.track, 0.6);
  for (let l = 0; l < layers; l++) pen.fillRect(left, top + l * row, width, height);
  for (let k = CHANGE[0], lastX = -99; k <= CHANGE[1]; k++) {
    const x = left + changePlace(10 ** k) * width;
    line(pen, css(theme.grid), 1, x, top, x, bottom + 3);
    if (x - lastX < 48) continue;
    write(pen, percent(10 ** k, k < -2 ? 1 : 0), x, bottom + 15, css(theme.muted), text, "center");
    lastX = x;
  }
  for (let l = 0; l < layers; l++) {
    const [y, end] = [top + l * row, left + places[l] * width];
    pen.fillStyle = css(theme.accent, change ? 0.85 : 0.3);
    pen.fillRect(left, y, end - left, height);
    if (change?.[l] > 10 ** CHANGE[1]) {
      pen.beginPath(); // longer than the axis: an arrow
      pen.moveTo(end + 2, y);
      pen.lineTo(end + 2 + Math.min(height, 9), y + height / 2);
      pen.lineTo(end + 2, y + height);
      pen.fill();
    }
    writeRow(surface, layout, scene, l, change ? changeText(change[l]) : "", w, theme);
  }
  write(pen, "moved by", w, 13, css(theme.muted), text, "right");
}

const INSET = 10;
const pointAt = ({ w, h }, xy, i) => [INSET + xy[2 * i] * (w - 2 * INSET), INSET + (1 - xy[2 * i + 1]) * (h - 2 * INSET)];

/** The map: ● retained, faint; ✖ to be forgotten, on top. Thin and hollow where interpolated. Marks of one class share
 *  a path, since 2,000 single ones would cost three times as much; but only every eighth, since marks of one path melt
 *  together where they overlap, and would hide how dense it is. */
function drawPoints({ pen, w, h }, xy, klass, { retained, forgotten }, sure, theme) {
  const [sx, sy, slices] = [w - 2 * INSET, h - 2 * INSET, 8];
  const marks = (rows, mark, ink) => {
    for (let slice = 0; slice < slices; slice++) {
      theme.classes.forEach((colour, c) => {
        let any = false;
        pen.beginPath();
        for (let k = slice; k < rows.length; k += slices) {
          const i = rows[k];
          if (klass[i] !== c) continue;
          any = true;
          mark(INSET + xy[2 * i] * sx, INSET + (1 - xy[2 * i + 1]) * sy);
        }
        if (any) ink(colour);
      });
    }
  };
  const stroke = (colour, width) => ((pen.strokeStyle = colour), (pen.lineWidth = width), pen.stroke());
  const radius = sure ? 2.2 : 1.9;
  const dot = (x, y) => (pen.moveTo(x + radius, y), pen.arc(x, y, radius, 0, 2 * Math.PI));
  const arm = sure ? 4 : 3.6;
  const cross = (x, y) => (pen.moveTo(x - arm, y - arm), pen.lineTo(x + arm, y + arm), pen.moveTo(x - arm, y + arm), pen.lineTo(x + arm, y - arm));
  const halo = css(theme.ground, 0.9);
  pen.clearRect(0, 0, w, h);
  pen.globalAlpha = theme.dark ? 0.5 : 0.4;
  marks(retained, dot, (colour) => (sure ? ((pen.fillStyle = colour), pen.fill()) : stroke(colour, 1)));
  pen.globalAlpha = 1;
  pen.lineCap = "round";
  marks(forgotten, cross, (colour) => (stroke(halo, sure ? 4.6 : 3), stroke(colour, sure ? 2.6 : 1.3)));
  pen.lineCap = "butt";
}

function drawHighlight(surface, xy, i, theme) {
  const [x, y] = pointAt(surface, xy, i);
  disc(surface.pen, x, y, 9, { stroke: css(theme.ground), width: 5 });
  disc(surface.pen, x, y, 9, { stroke: css(theme.text), width: 2 });
}

// --------------------------------------------------------------------------------------------------------- wiring

const SLIDER = (name) => `<label class="slider"><b class="symbol"></b><output data-testid="${name}-number"></output>
  <span class="track"><input type="range" min="0" step="1" data-testid="${name}"><i hidden></i></span><span class="meaning"></span></label>`;
const PANEL = (name, title, how) => `<section class="panel ${name}"><header><h3>${title}</h3><span class="aside"></span></header>
  <p class="how">${how}</p><canvas role="img" data-testid="${name}"></canvas></section>`;
const PAGE = `<div class="page">
  ${PANEL("pad", "How hard should it forget?", "")}
  <section class="panel gauges"><header><h3>Did it forget, and at what cost?</h3><span class="aside" data-testid="status" role="status"></span></header>
    <p class="how"><i class="mark original"></i>original <i class="mark retrained"></i>retrained, all seeds <i class="mark unlearned"></i>unlearned. Tracks: 0 to 100 %.</p><div class="list"></div></section>
  ${PANEL("heat", "", "")}
  ${PANEL("before", "Before", "A mark is an image, placed by the network’s features, coloured by the class it predicts.")}
  ${PANEL("after", "", "")}
  <p class="legend" data-testid="legend"></p><p class="note" data-testid="note" hidden></p>
  <div class="card" data-testid="card" hidden></div></div>`;
const WAYS = { up: "↑ higher is better", down: "↓ lower is better", match: "→ toward the retrained band" };
/** Title and how to read it of the panels that differ: with α and λ, and still. */
const WORDS = {
  heat: [
    ["Which weights change?", 'A row is a layer, r a weight’s importance ratio. Right of the cut α: dampened, weakly <i class="ramp"></i> to fully.'],
    ["Which layers changed?", "A row is a layer; the bar is how far its weights moved, relative to their size (‖ΔW‖/‖W‖)."],
  ],
  after: [
    ["After", "The same images on the same map. Hollow: interpolated between evaluated points."],
    ["After", "The same images on the same map, placed by the changed network’s features."],
  ],
};
const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");
const GLIDE = 150; // ms

const states = new WeakMap(); // Streamlit calls again with the same parent for each change of data or theme

export default function (component) {
  const { parentElement, data } = component;
  const root = parentElement.querySelector(".lacuna-live");
  if (!root || !data) return;
  let state = states.get(parentElement);
  if (state?.root !== root) {
    state?.end();
    states.set(parentElement, (state = mount(root)));
  }
  state.component = component;
  take(state, data);
  return () => {
    state.end();
    if (states.get(parentElement) === state) states.delete(parentElement);
  };
}

function mount(root) {
  root.innerHTML = PAGE;
  const $ = (selector) => root.querySelector(selector);
  const sliders = document.createElement("div");
  sliders.className = "sliders";
  sliders.innerHTML = SLIDER("alpha") + SLIDER("lambda");
  $(".pad").append(sliders);
  const life = new AbortController();
  const state = {
    root, $, life, surfaces: {}, loads: {}, notes: {}, awaited: [], hovered: -1, pinned: -1, values: [], frame: 0,
    canvases: Object.fromEntries(["pad", "heat", "before", "after"].map((name) => [name, $(`[data-testid=${name}]`)])),
    ranges: { alpha: $("[data-testid=alpha]"), lambda: $("[data-testid=lambda]") },
  };
  const observer = new ResizeObserver(() => {
    state.stale = true;
    draw(state); // at once: a resized canvas is blank until drawn
  });
  observer.observe(root);
  state.end = () => {
    life.abort();
    observer.disconnect();
    cancelAnimationFrame(state.frame);
    Object.values(state.loads).forEach((load) => load.abort.abort());
  };
  for (const [name, range] of Object.entries(state.ranges)) {
    range.oninput = () => move(state, { [name]: state.data[name].ticks[range.value] });
    // A held arrow key fires a change per repeat: for the keyboard, the release of the key is the release.
    range.onkeydown = () => (state.held = true);
    range.onkeyup = range.onblur = () => ((state.held = false), commit(state));
    range.onpointerdown = () => (state.dragging = true);
    range.onpointerup = range.onpointercancel = () => ((state.dragging = false), commit(state));
    range.onchange = () => state.held || ((state.dragging = false), commit(state));
  }
  const { pad } = state.canvases;
  const follow = (event) => {
    const { alpha, lambda } = state.data;
    const snap = ({ ticks, locked }, value, now) => (locked ? now : ticks[nearestTick(ticks, value)]);
    move(state, {
      alpha: snap(alpha, state.scale.alpha(event.offsetX), state.alpha),
      lambda: snap(lambda, state.scale.lambda(event.offsetY), state.lambda),
    });
  };
  pad.onpointerdown = (event) => {
    pad.setPointerCapture(event.pointerId);
    state.dragging = true;
    follow(event);
  };
  pad.onpointermove = (event) => state.dragging && pad.hasPointerCapture(event.pointerId) && follow(event);
  pad.onpointerup = pad.onpointercancel = () => ((state.dragging = false), commit(state));
  for (const name of ["before", "after"]) {
    const canvas = state.canvases[name];
    canvas.onpointermove = (event) => hover(state, name, event);
    canvas.onpointerleave = () => ((state.hovered = -1), redraw(state));
    canvas.onclick = (event) => {
      hover(state, name, event);
      state.pinned = state.hovered;
      if (state.pinned >= 0) state.component.setStateValue("picked", state.pinned);
      redraw(state);
    };
  }
  state.canvases.heat.onpointermove = (event) => {
    const l = state.layout ? Math.floor((event.offsetY - state.layout.top) / state.layout.row) : -1;
    const layer = state.scene?.header.layers[l];
    event.target.title = layer ? `${layer.name} (${layer.kind}, ${layer.size.toLocaleString("en")} weights)${fate(state, l)}` : "";
  };
  const unpin = () => state.pinned >= 0 && ((state.pinned = state.hovered = -1), redraw(state));
  const { signal } = life;
  document.addEventListener("keydown", (event) => event.key === "Escape" && unpin(), { signal });
  document.addEventListener("pointerdown", (event) => {
    const kept = [state.canvases.before, state.canvases.after, $(".card")];
    if (!event.composedPath().some((element) => kept.includes(element))) unpin();
  }, { signal });
  return state;
}

/** What happened to a layer, after its name. */
function fate(state, l) {
  const { answers, outcome } = state;
  if (answers) return `: ${percent(answers.share[l], 2)} selected, mean multiplier ${answers.multiplier[l].toFixed(3)}`;
  return hasOutcome(state) ? `: moved by ${changeText(outcome.arrays.change[l])} of its size` : "";
}

/** The panels for a method with α and λ, or for a still one. */
function dress(state, still) {
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

/** New data or theme from the server. */
function take(state, data) {
  const { $, root, ranges } = state;
  dress(state, isStill(data));
  const style = getComputedStyle(root);
  const look = JSON.stringify([["--st-text-color", "--st-background-color", "--st-font"].map((name) => style.getPropertyValue(name)),
    data.palette, data.alpha, data.lambda, data.gauges.map((gauge) => [gauge.id, gauge.retrained])], (key, v) => (key === "value" ? 0 : v));
  if (look !== state.look) state.stale = true; // else a settled value would cost a whole new layout
  state.look = look;
  state.data = data;
  const told = { alpha: data.alpha?.value ?? null, lambda: data.lambda?.value ?? null };
  $(".page").classList.toggle("former", !!data.former);
  const left = state.loads.scene && state.loads.scene.url !== data.scene;
  if (left || data.former) {
    // A drag on a scene that is left, or about to be, counts for nothing.
    Object.assign(state, told, { told, committed: told, awaited: [], dragging: false, held: false });
  } else if (!same(told, state.told)) {
    // The echo of an own move must not drag a newer one back; anything else (preset, undo) is obeyed.
    const echo = state.awaited.findIndex((point) => same(point, told));
    if (echo >= 0) state.awaited.splice(0, echo + 1);
    else {
      state.awaited = [];
      state.committed = told;
      if (!state.dragging || !state.told) Object.assign(state, told);
    }
    state.told = told;
  }
  for (const [name, range] of Object.entries(state.still ? {} : ranges)) {
    const { ticks, label, meaning, locked } = data[name];
    range.disabled = !!locked || !!data.former; // a method may fix one of the two
    const slider = range.closest(".slider");
    range.max = ticks.length - 1;
    range.setAttribute("aria-label", `${label}: ${meaning}`);
    slider.querySelector(".symbol").textContent = label;
    slider.querySelector(".meaning").textContent = slider.title = meaning;
  }
  if (left) forget(state);
  const list = $(".list");
  const ids = data.gauges.map((gauge) => gauge.id).join();
  if (list.dataset.ids !== ids) {
    list.dataset.ids = ids;
    list.innerHTML = data.gauges.map(() => `<div class="gauge"><b></b><span class="way"></span><output></output><canvas role="img"></canvas></div>`).join("");
    state.gauges = [...list.children];
    state.lastExact = [];
  }
  data.gauges.forEach((gauge, g) => {
    state.gauges[g].dataset.testid = `gauge-${gauge.id}`;
    state.gauges[g].title = gauge.about ?? "";
    state.gauges[g].querySelector("b").textContent = gauge.label;
    state.gauges[g].querySelector(".way").textContent = (gauge.better === "match" && !gauge.retrained.length ? "" : WAYS[gauge.better]) ?? "";
    if (data.settled && gauge.settled !== null) state.lastExact[g] = gauge.settled;
  });
  fetchInto(state, "scene", data.scene, (blob) => {
    setScene(state, blob);
    fetchInto(state, "points", state.data.points, null, poll);
  });
  if (state.scene) fetchInto(state, "points", data.points, null, poll);
  fetchInto(state, "outcome", data.outcome, (blob) => {
    state.outcome = { ...blob, url: data.outcome, xy: Float32Array.from(blob.arrays.xy, (v) => v / 65535) };
    const glides = state.shown && !REDUCED.matches && hasOutcome(state);
    if (glides) state.glide = { from: state.shown.slice(), bars: state.bars?.slice(), start: performance.now() };
  });
  describe(state);
  redraw(state);
}

/** Fetches `url` once per URL; a newer URL of the same name aborts the older. What fails is said in one sentence. */
async function fetchInto(state, name, url, use, how = once) {
  if (state.loads[name]?.url === url) return;
  state.loads[name]?.abort.abort();
  state.notes[name] = "";
  const load = (state.loads[name] = { url, abort: new AbortController() });
  if (!url) return;
  await how(state, name, new URL(url, document.baseURI), use, load.abort.signal);
}

async function blobAt(url, signal) {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return unpack(await response.arrayBuffer());
}

const MISSING = {
  scene: "The maps and the picture of the weights could not be loaded; all else still works.",
  points: "No evaluated landscape could be loaded, so nothing is interpolated; releasing still gives exact values.",
  outcome: "The exact embedding and changes of the layers could not be loaded.",
};

async function once(state, name, url, use, signal) {
  try {
    const blob = await blobAt(url, signal);
    if (signal.aborted) return;
    use(blob);
  } catch {
    if (signal.aborted) return;
    state.notes[name] = MISSING[name];
  }
  describe(state);
  redraw(state);
}

/** Fetches the landscape as it fills. Hidden pages ask for nothing; silence and errors make it ask less often. */
async function poll(state, name, url, _, signal) {
  const { alphas, lambdas } = state.scene.header;
  const landscape = (state.landscape = emptyLandscape(alphas, lambdas));
  for (let wait = 700; !signal.aborted && !landscape.complete; ) {
    if (!document.hidden && state.root.clientWidth) {
      try {
        url.searchParams.set("from", landscape.held);
        const blob = await blobAt(url, signal);
        if (signal.aborted) return;
        const news = blob.arrays.index.length;
        if (blob.header.total < landscape.held) landscape.held = 0; // the server started afresh: ask for all again
        else addPoints(landscape, blob);
        wait = news ? 700 : Math.min(1.5 * wait, 3000);
        state.notes[name] = "";
        if (news) (state.shade = null), redraw(state);
      } catch {
        if (signal.aborted) return;
        state.notes[name] = landscape.held ? "" : MISSING[name];
        wait = Math.min(Math.max(2 * wait, 3000), 60000);
        redraw(state);
      }
    }
    if (!landscape.complete) await new Promise((done) => setTimeout(done, wait));
  }
}

/** Nothing of an earlier scene may be drawn over a new one. */
function forget(state) {
  for (const { abort } of Object.values(state.loads)) abort.abort();
  Object.assign(state, {
    loads: {}, notes: {}, scene: null, sums: null, answers: null, landscape: null, outcome: null, shown: null,
    bars: null, layout: null, glide: null, hovered: -1, pinned: -1, lastExact: [], stale: true,
  });
  state.$(".card").hidden = true;
  state.$(".legend").replaceChildren();
}

function setScene(state, scene) {
  const { header, arrays } = scene;
  const forgotten = (i) => header.forget.includes(arrays.truth[i]);
  const all = Array.from({ length: header.n }, (_, i) => i);
  const xy = Float32Array.from(arrays.before_xy, (v) => v / 65535);
  Object.assign(state, {
    scene: { ...scene, xy, groups: { retained: all.filter((i) => !forgotten(i)), forgotten: all.filter(forgotten) } },
    shown: xy.slice(), klass: arrays.before_class, stale: true,
  });
  if (state.still) state.bars = new Float64Array(header.layers.length);
  else {
    const { ticks } = state.data.alpha;
    const sums = suffixSums(scene);
    const domain = ratioDomain(sums, [ticks[0], Math.min(1.6 * (header.ceiling ?? Infinity), ticks.at(-1))]);
    Object.assign(state, { sums, answers: answersFor(sums.layers), domain });
  }
  const colours = state.data.palette.classes;
  state.$(".legend").replaceChildren(...header.classes.map((name, c) => {
    const item = document.createElement("span");
    const mark = document.createElement("i");
    mark.style.color = colours[c % colours.length];
    mark.textContent = header.forget.includes(c) ? "✖" : "●";
    item.append(mark, header.forget.includes(c) ? `${name} (to be forgotten)` : name);
    return item;
  }));
}

function move(state, to) {
  Object.assign(state, to);
  redraw(state);
}

/** The release: one message, only if the point has changed. The time makes each message differ from the last, so that
 *  Streamlit's on_change also fires for a return to a point that was left through a preset. */
function commit(state) {
  const point = { alpha: state.alpha, lambda: state.lambda };
  if (state.dragging || same(point, state.committed)) return redraw(state);
  state.committed = point;
  state.awaited.push(point);
  state.component.setStateValue("point", { ...point, scene: state.data.key, at: Date.now() });
  redraw(state);
  state.describing = true;
}

function redraw(state) {
  state.frame ||= requestAnimationFrame(() => draw(state));
}

/** All that depends on size or theme, made anew when either changes. */
function prepare(state) {
  state.stale = false;
  const { root, canvases, data, scene, sums } = state;
  const theme = (state.theme = themeOf(root, data.palette, scene?.header.classes.length ?? 0));
  root.style.setProperty("--accent", css(theme.accent));
  root.style.setProperty("--original", css(theme.original));
  root.style.setProperty("--retrained", css(theme.retrained));
  root.style.setProperty("--ramp", `linear-gradient(90deg, ${css(theme.weak)}, ${css(theme.strong)})`);
  for (const [name, canvas] of Object.entries(canvases)) state.surfaces[name] = surfaceOf(canvas);
  state.tracks = state.gauges.map((gauge) => surfaceOf(gauge.querySelector("canvas")));
  if (!state.still) prepareControls(state);
  if (!scene) return;
  const { heat } = state.surfaces;
  state.layout = state.still ? rowsLayout(heat, scene, theme) : heatLayout(heat, scene, sums, state.domain, theme);
  // The left map never changes while dragging: drawn once here, then copied.
  const { before } = state.surfaces;
  drawPoints(before, scene.xy, scene.arrays.before_class, scene.groups, true, theme);
  state.backdrop = new OffscreenCanvas(Math.max(before.canvas.width, 1), Math.max(before.canvas.height, 1));
  if (before.w) state.backdrop.getContext("2d").drawImage(before.canvas, 0, 0);
}

function prepareControls(state) {
  const { data, scene } = state;
  state.scale = padScale(state.surfaces.pad, data.alpha.ticks, data.lambda.ticks);
  state.shade = null;
  for (const [name, range] of Object.entries(state.ranges)) {
    const mark = range.nextElementSibling;
    const { ticks } = data[name];
    const ceiling = name === "alpha" && scene?.header.ceiling;
    mark.hidden = !(ceiling >= ticks[0] && ceiling <= ticks.at(-1));
    if (!mark.hidden) mark.style.setProperty("--at", nearestTick(ticks, ceiling) / (ticks.length - 1));
  }
}

const isExact = (state) => (state.still ? !!state.data.settled : same(state.data.settled, state));
const hasOutcome = (state) => !!state.outcome && isExact(state) && state.outcome.url === state.data.outcome;

/** How far what is shown has come from the last outcome to this one, in 0..1. */
function glided(state) {
  if (!state.glide) return 1;
  const t = Math.min((performance.now() - state.glide.start) / GLIDE, 1);
  if (t < 1) redraw(state);
  else state.glide = null;
  return 1 - (1 - t) ** 2;
}

function draw(state) {
  const started = performance.now();
  state.frame = 0;
  if (!state.data || !state.root.clientWidth) return;
  if (state.stale) prepare(state);
  const { data, surfaces, theme, scene, landscape, alpha, lambda } = state;
  const exact = isExact(state);
  const spot = landscape && locate(landscape, alpha, lambda);
  const ceiling = scene?.header.ceiling;
  if (!state.still) {
    if (landscape?.held && !state.shade) state.shade = padShade(state.scale, landscape, data.gauges, theme);
    const range = { alpha: [data.alpha.ticks[0], data.alpha.ticks.at(-1)], lambda: [data.lambda.ticks[0], data.lambda.ticks.at(-1)] };
    drawPad(surfaces.pad, state.scale, { landscape, shade: state.shade, alpha, lambda, ceiling, exact, range }, theme);
  }
  const between = spot && blend(landscape, spot, "gauges", new Float64Array(data.gauges.length));
  const readings = data.gauges.map((gauge, g) => {
    const sure = exact && gauge.settled !== null;
    const reading = { ...gauge, exact: sure, value: sure ? gauge.settled : between ? between[g] : state.lastExact[g] };
    drawGauge(state.tracks[g], reading, theme);
    return reading;
  });
  if (scene) {
    const eased = hasOutcome(state) ? glided(state) : 0;
    if (state.still) drawChange(state, eased);
    else {
      layerAnswers(state.sums, alpha, lambda, state.answers);
      if (exact && data.exact) Object.assign(state.answers, data.exact); // the histogram is exact only up to a bin
      drawHeat(surfaces.heat, state.layout, scene, state.sums, state.answers, { alpha, lambda, ceiling, domain: state.domain }, theme);
    }
    drawMaps(state, spot, eased);
  }
  tell(state, readings, exact, !!spot); // last: text on a page just changed is slow to measure, on canvas too
  if (scene) showCard(state);
  if (state.describing && !state.dragging) describe(state);
  if (window.__lacunaMeasure) (window.__lacunaFrames = [...(window.__lacunaFrames ?? []), performance.now() - started].slice(-600));
}

/** The words and numbers beside the canvases, which are also what tests read. */
function tell(state, readings, exact, interpolated) {
  const { $, data, canvases, landscape, alpha, lambda, answers, scene, outcome } = state;
  canvases.pad.dataset.value = canvases.after.dataset.value = state.still ? "" : `${alpha},${lambda}`;
  for (const [name, input] of Object.entries(state.still ? {} : state.ranges)) {
    input.value = nearestTick(data[name].ticks, state[name]);
    input.dataset.value = state[name];
    input.setAttribute("aria-valuetext", `${data[name].label} ${short(state[name])}`);
    $(`[data-testid=${name}-number]`).textContent = short(state[name]);
  }
  readings.forEach(({ value, exact: sure }, g) => {
    const known = Number.isFinite(value);
    Object.assign(state.gauges[g].dataset, { value: known ? value : "", exact: sure && !data.former });
    state.gauges[g].querySelector("output").textContent = known ? `${sure ? "" : interpolated ? "≈ " : "was "}${percent(value)}` : "–";
  });
  const waiting = state.dragging || state.held ? "interpolated, release for exact values" : "interpolated, settling…";
  const settledWord = data.former ? `of ${data.former}` : "exact";
  $("[data-testid=status]").textContent = exact ? settledWord : interpolated ? `≈ ${waiting}` : "last exact values, settling…";
  const partly = landscape?.held && !landscape.complete;
  $(".pad .how").textContent = `Drag the ring. ${data.gauges.some((gauge) => gauge.retrained.length) ? "Lighter: the smaller gap to retrained networks. " : ""}Dots: evaluated points.`;
  $(".pad .aside").textContent = partly ? `${landscape.held} of ${landscape.cells.length} evaluated` : "";
  const sure = !!scene && hasOutcome(state);
  canvases.after.dataset.exact = sure && !data.former;
  const change = state.still && sure ? outcome.arrays.change : null;
  const moved = change && `${change.filter((c) => c !== 0).length} of ${change.length} moved`;
  $(".heat .aside").textContent = answers ? `${percent(answers.total)} selected` : moved ?? "";
  canvases.heat.dataset.value = answers ? answers.total : change ? Math.max(...change) : "";
  const waits = state.still ? (state.notes.outcome ? "" : "loading…") : "waiting for the first points";
  const shown = sure ? settledWord : interpolated ? "≈ interpolated" : waits;
  $(".after .aside").textContent = scene ? shown : "";
  const note = Object.values(state.notes).filter(Boolean).join(" ");
  Object.assign($(".note"), { textContent: note, hidden: !note });
}

/** The bars of the last outcome glide to those of this one; until it is there they are faint. */
function drawChange(state, eased) {
  const { bars, glide, outcome } = state;
  const change = hasOutcome(state) ? outcome.arrays.change : null;
  change?.forEach((c, l) => (bars[l] = eased < 1 ? glide.bars[l] + eased * (changePlace(c) - glide.bars[l]) : changePlace(c)));
  drawBars(state.surfaces.heat, state.layout, state.scene, bars, change, state.theme);
}

function drawMaps(state, spot, eased) {
  const { scene, surfaces, shown, theme, landscape, outcome, glide } = state;
  const sure = hasOutcome(state);
  if (sure) {
    for (let i = 0; i < shown.length; i++) shown[i] = eased < 1 ? glide.from[i] + eased * (outcome.xy[i] - glide.from[i]) : outcome.xy[i];
    state.klass = outcome.arrays.klass;
  } else if (spot) {
    state.glide = null;
    blend(landscape, spot, "xy", shown, 1 / 255);
    state.klass = landscape.cells[nearestCorner(spot)].klass;
  }
  const { before, after } = surfaces;
  before.pen.clearRect(0, 0, before.w, before.h);
  if (before.w) before.pen.drawImage(state.backdrop, 0, 0, before.w, before.h);
  drawPoints(after, shown, state.klass, scene.groups, sure, theme);
  const marked = state.pinned >= 0 ? state.pinned : state.hovered;
  if (marked >= 0) drawHighlight(before, scene.xy, marked, theme), drawHighlight(after, shown, marked, theme);
}

/** What the canvases show, in words, for those who cannot see them. Once per release: a reader would not keep up. */
function describe(state) {
  state.describing = false;
  const { canvases, data, scene, sums, alpha, lambda, gauges } = state;
  const point = state.still ? "" : `α ${short(alpha)}, λ ${short(lambda)}`;
  if (!state.still) canvases.pad.setAttribute("aria-label", `Map of α and λ; the current point is ${point}. Use the two sliders below to move it.`);
  data.gauges.forEach((gauge, g) => {
    const said = (share) => percent(share, 1);
    const band = gauge.retrained?.length ? `, retrained ${said(Math.min(...gauge.retrained))} to ${said(Math.max(...gauge.retrained))}` : "";
    const now = isExact(state) && gauge.settled !== null ? said(gauge.settled) + (data.former && ` by ${data.former}, the last picture`) : "being evaluated";
    gauges[g].querySelector("canvas").setAttribute("aria-label", `${gauge.label}: unlearned ${now}, original ${gauge.original === null ? "unknown" : said(gauge.original)}${band}`);
  });
  if (!scene) return ["heat", "before", "after"].forEach((name) => canvases[name].setAttribute("aria-label", "Being loaded."));
  const named = (rows, said) => rows.map((l) => `${scene.header.layers[l].name} (${said(l)})`).join(", ");
  if (state.still) canvases.heat.setAttribute("aria-label", describeChange(hasOutcome(state) ? state.outcome.arrays.change : null, named));
  else {
    const answers = layerAnswers(sums, alpha, lambda);
    const most = [...answers.share.keys()].sort((a, b) => answers.share[b] - answers.share[a]).slice(0, 3);
    canvases.heat.setAttribute("aria-label", `At ${point}, ${percent(answers.total)} of the weights are selected; most in ${named(most, (l) => percent(answers.share[l]))}.`);
  }
  const names = scene.header.forget.map((c) => scene.header.classes[c]).join(", ");
  const { forgotten } = scene.groups;
  const kept = (klass) => `${forgotten.filter((i) => klass[i] === scene.arrays.truth[i]).length} of ${forgotten.length} images of ${names} are predicted as such`;
  canvases.before.setAttribute("aria-label", `Map of ${scene.header.n} images before unlearning: ${kept(scene.arrays.before_class)}.`);
  canvases.after.setAttribute("aria-label", `The same map after unlearning: ${hasOutcome(state) ? kept(state.outcome.arrays.klass) : "being evaluated"}.`);
}

function describeChange(change, named) {
  if (!change) return "How far the weights of each layer moved: being evaluated.";
  const moved = change.filter((c) => c !== 0).length;
  if (!moved) return "No layer moved.";
  return `${moved} of ${change.length} layers moved; relative to their size, most: ${named(mostChanged(change), (l) => changeText(change[l]))}.`;
}

function hover(state, name, event) {
  if (!state.scene) return;
  const surface = state.surfaces[name];
  const xy = name === "before" ? state.scene.xy : state.shown;
  let [nearest, best] = [-1, 10];
  for (let i = 0; i < state.scene.header.n; i++) {
    const [x, y] = pointAt(surface, xy, i);
    const gap = Math.hypot(x - event.offsetX, y - event.offsetY);
    if (gap < best) [nearest, best] = [i, gap];
  }
  Object.assign(state, { hovered: nearest, hoveredIn: state.pinned >= 0 ? state.hoveredIn : name });
  redraw(state);
}

function showCard(state) {
  const { scene, $ } = state;
  const card = $(".card");
  const i = state.pinned >= 0 ? state.pinned : state.hovered;
  card.hidden = i < 0;
  if (i < 0) return;
  const { classes, forget: gone } = scene.header;
  const part = (blob, field) => blob.arrays[field].subarray(i * classes.length, (i + 1) * classes.length);
  const bars = (bytes) => topClasses(bytes).map(([c, p]) => `<span>${plain(classes[c])}</span><u style="--p:${p}"></u><em>${percent(p, 0)}</em>`).join("");
  const sure = hasOutcome(state);
  const content = [i, state.data.scene, sure && state.outcome.url, state.dragging].join();
  if (card.dataset.content !== content) {
    card.dataset.content = content;
    const { truth, member } = scene.arrays;
    card.innerHTML = `<img alt="" width="84" height="84" src="${new URL(`${state.data.image}${i}.png`, document.baseURI)}">
      <div class="who"><b>${plain(classes[truth[i]])}</b>${gone.includes(truth[i]) ? " ✖" : ""}<br>${member[i] ? "member of the training set" : "test image"}</div>
      <div class="bars"><b>Before</b>${bars(part(scene, "before_probability"))}</div>
      <div class="bars"><b>After</b>${sure ? bars(part(state.outcome, "probability")) : `<p>${state.dragging ? "release to see" : "settling…"}</p>`}</div>`;
  }
  card.classList.toggle("pinned", state.pinned >= 0);
  const name = state.hoveredIn ?? "after";
  const { canvas } = state.surfaces[name];
  const [x] = pointAt(state.surfaces[name], name === "before" ? scene.xy : state.shown, i);
  const left = Math.min(canvas.offsetLeft + x - card.offsetWidth / 2, state.root.clientWidth - card.offsetWidth);
  card.style.left = `${Math.max(left, 0)}px`;
  card.style.top = `${canvas.offsetTop - card.offsetHeight - 4}px`; // above the map: neither mark is hidden
}

const plain = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
