/* Where the forgetting happens: the importance ratios of every layer, and α as a line to drag through them.
 *
 * One Streamlit component (v2), put behind live_maths.js and canvas.js. While α is dragged the browser answers from the
 * scene's histogram (exact up to one bin, marked ≈); when it is released the server's exact numbers take over.
 */

const KINDS = { convolution: "conv", norm: "norm", linear: "linear", attention: "attn", head: "head", embedding: "embed", bias: "bias", other: "other" };
const GROUPED = 4; // bins of the histogram in one step of a row: 12 a decade
const ROW = [17, 22]; // px, of many and of few layers
const TOP = 34;
const FOOT = 44;

/** Selected share of every kind and of every layer: [[kind, share], ...] in order of first appearance. */
export function kindShares(layers, share) {
  const found = new Map();
  layers.forEach(({ kind, size }, l) => {
    const [weights, chosen] = found.get(kind) ?? [0, 0];
    found.set(kind, [weights + size, chosen + share[l] * size]);
  });
  return [...found].map(([kind, [weights, chosen]]) => [kind, chosen / weights]);
}

/** A share in words, told from 0 where it is not. */
export const shareText = (share) => (share > 0 && share < 0.0005 ? `<${percent(0.001)}` : percent(share));

/** Heights of a layer's steps in 0..1, under a square root so that what lies near α is seen; the widest step is 1.
 *  The outermost bins also hold what lies beyond the range: they must not set the scale. */
export function rowSteps(counts, layer, bins, grouped = GROUPED) {
  const steps = new Float64Array(Math.ceil(bins / grouped));
  for (let b = 0; b < bins; b++) steps[Math.floor(b / grouped)] += counts[layer * bins + b];
  const most = Math.max(...steps.subarray(1, -1)) || Math.max(...steps) || 1;
  return steps.map((count) => Math.sqrt(Math.min(count / most, 1)));
}

const HTML = `<p class="readout"><b>α</b> <output class="alpha" data-testid="layers-alpha"></output> selects
  <output class="total" data-testid="layers-total"></output> of all weights <span class="status" data-testid="layers-status" role="status"></span></p>
  <canvas tabindex="0" role="slider" data-testid="layers"></canvas>
  <p class="how">Selected share of each kind of parameter:</p><div class="kinds"></div><p class="note" hidden></p>`;

const views = new WeakMap(); // Streamlit calls again with the same parent for each change of data or theme

export default function (component) {
  const { parentElement, data } = component;
  const root = parentElement.querySelector(".lacuna-layers");
  if (!root || !data) return;
  let view = views.get(parentElement);
  if (view?.root !== root) {
    view?.end();
    views.set(parentElement, (view = mount(root)));
  }
  view.component = component;
  take(view, data);
  return () => {
    view.end();
    if (views.get(parentElement) === view) views.delete(parentElement);
  };
}

function mount(root) {
  root.innerHTML = HTML;
  const $ = (selector) => root.querySelector(selector);
  const canvas = $("canvas");
  const view = { root, $, canvas, frame: 0, hovered: -1, awaited: [], load: null };
  const observer = new ResizeObserver(() => {
    view.stale = true;
    draw(view); // at once: a resized canvas is blank until drawn
  });
  observer.observe(root);
  view.end = () => {
    observer.disconnect();
    cancelAnimationFrame(view.frame);
    view.load?.abort.abort();
  };
  const follow = (event) => {
    const { alpha } = view.data;
    view.alpha = alpha.ticks[nearestTick(alpha.ticks, 10 ** view.scale.log(event.offsetX))];
    redraw(view);
  };
  const rowAt = (event) => {
    const row = view.scale ? Math.floor((event.offsetY - TOP) / view.scale.row) : -1;
    return row >= 0 && row < (view.scene?.header.layers.length ?? 0) ? row : -1;
  };
  const onRatios = (event) => view.scale && event.offsetX >= view.scale.left - 8 && event.offsetX <= view.scale.right + 8;
  canvas.onpointerdown = (event) => {
    if (!view.scene) return;
    if (!onRatios(event)) {
      const row = rowAt(event);
      if (row >= 0) view.component.setStateValue("layer", { name: view.scene.header.layers[row].name, at: Date.now() });
    } else if (!view.data.alpha.locked) {
      canvas.setPointerCapture(event.pointerId);
      view.dragging = true;
      follow(event);
    }
  };
  canvas.onpointermove = (event) => {
    if (view.dragging) return follow(event);
    const row = rowAt(event);
    canvas.style.cursor = onRatios(event) ? (view.data.alpha.locked ? "not-allowed" : "ew-resize") : row >= 0 ? "pointer" : "default";
    canvas.title = row < 0 ? "" : saidOf(view, row);
    if (row !== view.hovered) (view.hovered = row), redraw(view);
  };
  canvas.onpointerup = canvas.onpointercancel = () => ((view.dragging = false), commit(view));
  canvas.onpointerleave = () => ((view.hovered = -1), redraw(view));
  const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5, Home: -Infinity, End: Infinity };
  canvas.onkeydown = (event) => {
    if (!(event.key in STEPS) || view.data.alpha.locked || view.data.former) return;
    event.preventDefault();
    view.held = true; // the release of the key is the release
    const { ticks } = view.data.alpha;
    const next = nearestTick(ticks, view.alpha) + STEPS[event.key];
    view.alpha = ticks[Math.min(Math.max(next, 0), ticks.length - 1)];
    redraw(view);
  };
  canvas.onkeyup = canvas.onblur = () => view.held && ((view.held = false), commit(view));
  return view;
}

/** New data or theme from the server. */
function take(view, data) {
  view.data = data;
  view.stale = true;
  const told = { alpha: data.alpha.value, lambda: data.lambda };
  view.root.classList.toggle("former", !!data.former);
  if (view.load && view.load.url !== data.scene || data.former) {
    // A drag on a scene that is left, or about to be, counts for nothing.
    Object.assign(view, { alpha: told.alpha, told, committed: told, awaited: [], dragging: false, held: false });
  } else if (!same(told, view.told)) {
    // The echo of an own move must not drag a newer one back; anything else (preset, undo) is obeyed.
    const echo = view.awaited.findIndex((point) => same(point, told));
    if (echo >= 0) view.awaited.splice(0, echo + 1);
    else {
      view.awaited = [];
      if (!view.dragging || !view.told) view.alpha = told.alpha;
    }
    view.told = view.committed = told;
  }
  fetchScene(view, data.scene);
  redraw(view);
}

async function fetchScene(view, url) {
  if (view.load?.url === url) return;
  view.load?.abort.abort();
  const load = (view.load = { url, abort: new AbortController() });
  view.scene = null; // nothing of an earlier scene may be drawn over a new one
  let note = "";
  try {
    const response = await fetch(new URL(url, document.baseURI), { signal: load.abort.signal });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const scene = unpack(await response.arrayBuffer());
    if (load.abort.signal.aborted) return;
    const { ticks } = view.data.alpha;
    const { header } = scene;
    const sums = suffixSums(scene);
    const domain = ratioDomain(sums, [ticks[0], Math.min(1.6 * (header.ceiling ?? Infinity), ticks.at(-1))]);
    Object.assign(view, { scene, sums, domain, answers: answersFor(sums.layers), stale: true });
  } catch {
    if (load.abort.signal.aborted) return;
    note = "The histogram of the ratios could not be loaded; the table below holds the exact numbers.";
  }
  Object.assign(view.$(".note"), { textContent: note, hidden: !note });
  redraw(view);
}

/** The release: one message, only if α has changed. The time makes each message differ from the last. */
function commit(view) {
  const point = { alpha: view.alpha, lambda: view.data.lambda };
  if (view.dragging || same(point, view.committed)) return redraw(view);
  view.committed = point;
  view.awaited.push(point);
  view.component.setStateValue("point", { ...point, scene: view.data.key, at: Date.now() });
  redraw(view);
}

function redraw(view) {
  view.frame ||= requestAnimationFrame(() => draw(view));
}

/** All that depends on size, theme or scene, made anew when one changes. */
function prepare(view) {
  view.stale = false;
  const { root, canvas, data, scene, sums, domain } = view;
  const theme = (view.theme = themeOf(root, data.palette, 0));
  root.style.setProperty("--accent", css(theme.accent));
  root.style.setProperty("--grid", css(theme.grid));
  if (!scene) return void (view.surface = surfaceOf(canvas));
  const { layers } = scene.header;
  const row = ROW[layers.length > 40 ? 0 : 1];
  canvas.style.height = `${TOP + layers.length * row + FOOT}px`;
  const surface = (view.surface = surfaceOf(canvas));
  const { pen, w } = surface;
  face(pen, theme.font(14));
  const names = layers.map(({ name }) => name.replace(/\.weight$/, ""));
  const left = Math.max(...names.map((name) => pen.measureText(name).width)) + 74;
  const right = w - 214;
  const x = (log) => left + ((log - domain[0]) / (domain[1] - domain[0])) * (right - left);
  const log = (at) => domain[0] + ((at - left) / (right - left)) * (domain[1] - domain[0]);
  const rows = layers.map((_, l) => {
    const steps = rowSteps(scene.arrays.counts, l, sums.bins);
    const [path, base] = [new Path2D(), TOP + (l + 1) * row - 1];
    path.moveTo(left, base);
    steps.forEach((height, s) => {
      const [from, to] = [x(sums.low + s * GROUPED * sums.step), x(sums.low + (s + 1) * GROUPED * sums.step)];
      if (to <= left || from >= right) return;
      const y = base - (height ? Math.max(height * (row - 3), 1) : 0); // no weight is invisible
      path.lineTo(Math.max(from, left), y);
      path.lineTo(Math.min(to, right), y);
    });
    path.lineTo(right, base);
    path.closePath();
    return path;
  });
  view.scale = { row, left, right, x, log, rows, names };
  view.$(".kinds").replaceChildren(...kindShares(layers, view.answers.share).map(([kind]) => {
    const item = document.createElement("div");
    item.dataset.kind = kind;
    item.innerHTML = "<span></span><output></output><u></u>";
    item.firstChild.textContent = kind;
    return item;
  }));
}

function draw(view) {
  view.frame = 0;
  const { data, root } = view;
  if (!data || !root.clientWidth) return;
  if (view.stale) prepare(view);
  const { scene, sums, surface, scale, theme, alpha, answers, $ } = view;
  const exact = same(data.exact, { alpha, lambda: data.lambda });
  $(".alpha").textContent = short(alpha);
  const waiting = view.dragging || view.held ? "from the histogram; release for exact numbers" : "from the histogram; settling…";
  $(".status").textContent = exact ? (data.former ? `of ${data.former}` : "exact") : `≈ ${waiting}`;
  surface.pen.clearRect(0, 0, surface.w, surface.h);
  if (!scene) return;
  layerAnswers(sums, alpha, data.lambda, answers);
  if (exact) {
    answers.share.set(data.exact.share);
    answers.multiplier.set(data.exact.multiplier);
    answers.total = data.exact.total;
  }
  drawRatios(view, exact);
  $(".total").textContent = `${exact ? "" : "≈ "}${shareText(answers.total)}`;
  root.dataset.total = answers.total;
  root.dataset.exact = exact && !data.former;
  for (const [kind, share] of kindShares(scene.header.layers, answers.share)) {
    const item = $(`.kinds [data-kind="${kind}"]`);
    item.children[1].textContent = shareText(share);
    item.children[2].style.setProperty("--p", share);
  }
  const { ticks, label, meaning, locked } = data.alpha;
  const attributes = { "aria-label": `${label}: ${meaning}`, "aria-valuemin": ticks[0], "aria-valuemax": ticks.at(-1), "aria-valuenow": alpha,
    "aria-disabled": locked, "aria-valuetext": `α ${short(alpha)}: ${percent(answers.total)} of the weights selected` };
  if (!view.dragging) for (const [name, value] of Object.entries(attributes)) view.canvas.setAttribute(name, value);
}

function drawRatios(view, exact) {
  const { surface, scale, theme, scene, answers, alpha, data, domain, sums } = view;
  const { pen, w } = surface;
  const { row, left, right, x, rows, names } = scale;
  const { layers, ceiling } = scene.header;
  const bottom = TOP + layers.length * row;
  const text = theme.font(14);
  const cut = Math.min(Math.max(x(Math.log10(alpha)), left), right);
  const bar = { left: right + 16, width: 70 };
  const label = data.alpha.locked ? `α = ${short(alpha)} (set by its rule)` : `◂ α = ${short(alpha)} ▸`;
  face(pen, theme.font(15, 600));
  const handle = { width: pen.measureText(label).width + 18 };
  handle.left = Math.min(Math.max(cut - handle.width / 2, left - 8), right + 8 - handle.width);

  layers.forEach(({ name, kind }, l) => {
    const y = TOP + l * row;
    if (name === data.layer || l === view.hovered) {
      pen.fillStyle = css(theme.text, name === data.layer ? 0.1 : 0.05);
      pen.fillRect(0, y, w, row);
    }
    if (l && data.stages[l] !== data.stages[l - 1]) line(pen, css(theme.text, 0.3), 1, 0, y, w, y);
    const base = y + row / 2 + 5;
    write(pen, KINDS[kind] ?? kind, 4, base, css(theme.muted), text);
    write(pen, names[l], 56, base, css(theme.text), name === data.layer ? theme.font(14, 600) : text);
    line(pen, css(theme.grid), 1, left, y + row - 0.5, right, y + row - 0.5);
  });
  // Nothing can lie beyond the ceiling: hatched.
  const limit = ceiling ? x(Math.log10(ceiling)) : Infinity;
  if (limit < right) {
    pen.save();
    pen.beginPath();
    pen.rect(limit, TOP, right - limit, bottom - TOP);
    pen.clip();
    for (let at = limit - (bottom - TOP); at < right; at += 9) line(pen, css(theme.text, 0.13), 1, at, bottom, at + bottom - TOP, TOP);
    pen.restore();
  }
  pen.fillStyle = css(theme.untouched);
  for (const path of rows) pen.fill(path);
  pen.save();
  pen.beginPath();
  pen.rect(cut, TOP, right - cut, bottom - TOP);
  pen.clip();
  const ramp = pen.createLinearGradient(cut, 0, Math.max(right, cut + 1), 0);
  for (let s = 0; s <= 8; s++) {
    const ratio = 10 ** (scale.log(cut) + (s / 8) * (domain[1] - scale.log(cut)));
    ramp.addColorStop(s / 8, css(mix(theme.weak, theme.strong, 1 - Math.min(data.lambda / ratio, 1))));
  }
  pen.fillStyle = ramp;
  for (const path of rows) pen.fill(path);
  pen.restore();

  layers.forEach((_, l) => {
    const y = TOP + l * row + 2;
    pen.fillStyle = css(theme.track);
    pen.fillRect(bar.left, y, bar.width, row - 4);
    pen.fillStyle = css(theme.accent, exact ? 0.85 : 0.5);
    pen.fillRect(bar.left, y, bar.width * Math.min(answers.share[l], 1), row - 4);
    const base = TOP + l * row + row / 2 + 5;
    write(pen, shareText(answers.share[l]), bar.left + bar.width + 60, base, css(theme.text), text, "right");
    write(pen, `×${answers.multiplier[l].toFixed(2)}`, w - 2, base, css(theme.text), text, "right");
  });
  write(pen, "selected", bar.left, TOP - 10, css(theme.muted), text);
  write(pen, "kept", w - 2, TOP - 10, css(theme.muted), text, "right");

  // Above and below, since a tall canvas does not fit the screen; above, the handle has priority.
  const axis = (label, at, colour, font) => {
    write(pen, label, at, bottom + 18, colour, font, "center");
    face(pen, font);
    if (Math.abs(at - handle.left - handle.width / 2) > handle.width / 2 + pen.measureText(label).width / 2 + 6) write(pen, label, at, TOP - 10, colour, font, "center");
  };
  for (let k = Math.ceil(domain[0]); k <= domain[1]; k++) {
    line(pen, css(theme.text, 0.25), 1, x(k), TOP, x(k), bottom + 4);
    if (Math.abs(x(k) - limit) > 44) axis(power(k), x(k), css(theme.muted), text);
  }
  write(pen, "importance ratio r = I_f / I_D →", right, bottom + 38, css(theme.muted), text, "right");
  if (limit < right) {
    line(pen, css(theme.text), 1.5, limit, TOP, limit, bottom, [5, 4]);
    axis(`${+short(ceiling)} = 1/ρ`, limit, css(theme.text), theme.font(14, 600));
  }
  line(pen, css(theme.ground), 5, cut, 24, cut, bottom + 3);
  line(pen, css(theme.accent), 2.5, cut, 24, cut, bottom + 3);
  pen.fillStyle = css(theme.accent);
  pen.beginPath();
  pen.roundRect(handle.left, 1, handle.width, 25, 12);
  pen.fill();
  write(pen, label, handle.left + handle.width / 2, 19, "#fff", theme.font(15, 600), "center");
}

/** A layer in a sentence, for the pointer that rests on it. */
function saidOf({ scene, answers }, l) {
  const { name, kind, size } = scene.header.layers[l];
  return `${name} (${kind}, ${size.toLocaleString("en")} weights): ${percent(answers.share[l], 2)} selected, ` +
    `multiplied by ${answers.multiplier[l].toFixed(3)} on average. Click its name to look inside.`;
}
