/* The feature space of up to three networks on one map: linked panels, a lasso, and the way from before to after.
 * Put before it: live_maths.js and canvas.js. The server is asked once for each map; all else happens here.
 */

const TITLES = { original: "Original", retrained: "Retrained", unlearned: "Unlearned" };
const INSET = 12;
const CATCH = 12; // px within which a pointer means a point
const WAY = 1800; // ms from before to after
const REDUCED = matchMedia("(prefers-reduced-motion: reduce)");

const plain = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const WHOLE = { left: 0, low: 0, size: 1 }; // the part of the map that is shown, in map units

/** Map units -> pixels, for a panel that shows a part of the map. */
function scaleOf({ w, h }, part) {
  const [sx, sy] = [(w - 2 * INSET) / part.size, (h - 2 * INSET) / part.size];
  return { x: (v) => INSET + (v - part.left) * sx, y: (v) => h - INSET - (v - part.low) * sy };
}

const pointAt = (surface, part, xy, i) => {
  const { x, y } = scaleOf(surface, part);
  return [x(xy[2 * i]), y(xy[2 * i + 1])];
};

/** The square part of the map around some of its points in every panel, but for the outermost twentieth. */
export function partAround(clouds, chosen) {
  const ends = [0, 1].map((axis) => {
    const values = Float32Array.from(clouds.flatMap((xy) => chosen.map((i) => xy[2 * i + axis]))).sort();
    const at = (share) => values[Math.round(share * (values.length - 1))];
    return [at(0.05), at(0.95)];
  });
  const size = Math.min(Math.max(1.1 * Math.max(...ends.map(([low, high]) => high - low)), 0.05), 1);
  const [left, low] = ends.map(([a, b]) => Math.min(Math.max((a + b - size) / 2, 0), 1 - size));
  return { left, low, size };
}

/** Whether a point lies within a closed polygon [[x, y], ...]: an odd number of edges lie to its right. */
export function within(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) inside = !inside;
  }
  return inside;
}

/** ● retained below, ✖ to be forgotten on top; `focus` tells who is drawn in full, the others stay as a shade. Marks of
 *  one class share a path, since single ones would cost three times as much; only every eighth, so that overlaps show. */
function drawCloud({ pen, w, h }, xy, klass, { forgotten, focus, part }, theme) {
  const slices = 8;
  const scale = scaleOf({ w, h }, part);
  pen.clearRect(0, 0, w, h);
  pen.lineCap = "round";
  const marks = (wanted, mark, ink) => {
    for (let slice = 0; slice < slices; slice++) {
      theme.classes.forEach((colour, c) => {
        let any = false;
        pen.beginPath();
        for (let i = slice; i < klass.length; i += slices) {
          if (klass[i] !== c || !wanted(i)) continue;
          any = true;
          mark(scale.x(xy[2 * i]), scale.y(xy[2 * i + 1]));
        }
        if (any) ink(colour);
      });
    }
  };
  const dot = (radius) => (x, y) => (pen.moveTo(x + radius, y), pen.arc(x, y, radius, 0, 2 * Math.PI));
  const cross = (arm) => (x, y) => (pen.moveTo(x - arm, y - arm), pen.lineTo(x + arm, y + arm), pen.moveTo(x - arm, y + arm), pen.lineTo(x + arm, y - arm));
  const fill = (colour) => ((pen.fillStyle = colour), pen.fill());
  const stroke = (colour, width) => ((pen.strokeStyle = colour), (pen.lineWidth = width), pen.stroke());
  pen.globalAlpha = theme.dark ? 0.16 : 0.12;
  marks((i) => !focus[i], dot(1.8), () => fill(css(theme.text)));
  pen.globalAlpha = theme.dark ? 0.6 : 0.5;
  marks((i) => focus[i] && !forgotten[i], dot(2.4), fill);
  pen.globalAlpha = 1;
  marks((i) => focus[i] && forgotten[i], cross(3.6), (colour) => (stroke(css(theme.ground, 0.9), 4.4), stroke(colour, 2.4)));
  pen.lineCap = "butt";
}

/** A ring around one image, and what the network calls it. */
function drawRing({ pen, w, h }, part, xy, i, name, theme) {
  const [x, y] = pointAt({ w, h }, part, xy, i);
  disc(pen, x, y, 9, { stroke: css(theme.ground), width: 5 });
  disc(pen, x, y, 9, { stroke: css(theme.text), width: 2 });
  const font = theme.font(14, 600);
  face(pen, font);
  const length = pen.measureText(name).width;
  const left = Math.min(Math.max(x - length / 2, 4), w - length - 4);
  const base = y > 34 ? y - 16 : y + 26;
  pen.fillStyle = css(theme.ground, 0.85);
  pen.fillRect(left - 4, base - 14, length + 8, 19);
  write(pen, name, left, base, css(theme.text), font);
}

function drawLasso({ pen }, path, theme) {
  pen.beginPath();
  path.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
  pen.fillStyle = css(theme.text, 0.08);
  pen.fill();
  pen.strokeStyle = css(theme.text);
  pen.lineWidth = 1.5;
  pen.setLineDash([4, 3]);
  pen.stroke();
  pen.setLineDash([]);
}

// --------------------------------------------------------------------------------------------------------- wiring

const PAGE = `<div class="page"><div class="panels"></div><div class="card pinned" data-testid="card" hidden></div>
  <div class="player"><button class="play" type="button" data-testid="play">▶ Before → after</button>
    <input type="range" min="0" max="1" step="0.01" value="1" data-testid="way" aria-label="From the original's map to the unlearned network's">
    <button class="zoom" type="button" data-testid="zoom"></button>
    <button class="clear" type="button" data-testid="clear" hidden>Clear selection</button></div>
  <p class="legend"></p><p class="note" role="alert" hidden></p><p class="said" role="status"></p></div>`;
const PANEL = (role) => `<section class="panel map ${role}" data-role="${role}"><header><h3><i class="mark ${role}"></i>${TITLES[role]}</h3><span class="aside"></span></header>
  <canvas tabindex="0" role="img" data-testid="map-${role}"></canvas></section>`;

const states = new WeakMap(); // Streamlit calls again with the same parent for each change of data or theme

export default function (component) {
  const { parentElement, data } = component;
  const root = parentElement.querySelector(".lacuna-live");
  if (!root || !data) return;
  let state = states.get(parentElement);
  if (state?.root !== root) {
    state?.end();
    states.set(parentElement, (state = mount(root, data.selected)));
  }
  state.component = component;
  take(state, data);
  return () => {
    state.end();
    if (states.get(parentElement) === state) states.delete(parentElement);
  };
}

function mount(root, selected) {
  root.innerHTML = PAGE;
  const $ = (selector) => root.querySelector(selector);
  const life = new AbortController();
  const state = { root, $, life, selected: new Set(selected), panels: [], hovered: -1, pinned: -1, way: 1, part: WHOLE, frame: 0, note: "" };
  const observer = new ResizeObserver(() => {
    state.stale = true;
    draw(state); // at once: a resized canvas is blank until drawn
  });
  observer.observe(root);
  state.end = () => {
    life.abort();
    observer.disconnect();
    cancelAnimationFrame(state.frame);
    state.load?.abort();
  };
  $(".play").onclick = () => play(state);
  $(".zoom").onclick = () => ((state.zoomed = !state.zoomed), look(state), redraw(state));
  $(".clear").onclick = () => select(state, []);
  $("[data-testid=way]").oninput = (event) => {
    state.playing = null;
    state.way = Number(event.target.value);
    redraw(state);
  };
  document.addEventListener("keydown", (event) => event.key === "Escape" && pin(state, -1), { signal: life.signal });
  document.addEventListener("pointerdown", (event) => {
    const kept = [...state.panels.map((panel) => panel.canvas), $(".card")];
    if (!event.composedPath().some((element) => kept.includes(element))) pin(state, -1);
  }, { signal: life.signal });
  return state;
}

/** New data or theme from the server. */
function take(state, data) {
  state.data = data;
  state.stale = true;
  if (state.url !== data.url) fetchMap(state, data.url);
  focus(state);
  redraw(state);
}

async function fetchMap(state, url) {
  state.url = url;
  state.load?.abort();
  const { signal } = (state.load = new AbortController());
  try {
    const response = await fetch(new URL(url, document.baseURI), { signal });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const blob = unpack(await response.arrayBuffer());
    if (signal.aborted) return;
    state.note = "";
    setMap(state, blob);
  } catch {
    if (signal.aborted) return;
    state.note = "The map could not be loaded: reload the page, or use the plain view.";
  }
  redraw(state);
}

function setMap(state, { header, arrays }) {
  const { n } = header;
  const { $ } = state;
  const gone = new Set(header.forget);
  Object.assign(state, {
    header, arrays, stale: true, hovered: -1, pinned: state.pinned < n ? state.pinned : -1,
    forgotten: Uint8Array.from(arrays.truth, (c) => gone.has(c)),
  });
  if (header.panels.join() !== state.panels.map((panel) => panel.role).join()) {
    $(".panels").innerHTML = header.panels.map(PANEL).join("");
    $(".panels").dataset.count = header.panels.length;
    state.panels = header.panels.map((role) => wire(state, role));
  }
  state.panels.forEach((panel, p) => {
    panel.xy = Float32Array.from(arrays.xy.subarray(2 * n * p, 2 * n * (p + 1)), (v) => v / 65535);
    panel.klass = arrays.klass.subarray(n * p, n * (p + 1));
    panel.shown = panel.xy;
  });
  const colours = state.data.palette.classes;
  $(".legend").innerHTML = header.classes.map((name, c) => `<span><i style="color:${colours[c % colours.length]}">${gone.has(c) ? "✖" : "●"}</i>${plain(name)}${gone.has(c) ? " (to be forgotten)" : ""}</span>`).join("");
  focus(state);
}

function wire(state, role) {
  const section = state.$(`[data-role=${role}]`);
  const canvas = section.querySelector("canvas");
  const panel = { role, section, canvas, aside: section.querySelector(".aside") };
  const at = (event) => [event.offsetX, event.offsetY];
  canvas.onpointerdown = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    state.drag = { panel, path: [at(event)] };
  };
  canvas.onpointermove = (event) => {
    const { drag } = state;
    if (drag) {
      const [x, y] = drag.path[0];
      drag.wide ||= Math.hypot(event.offsetX - x, event.offsetY - y) > 6;
      if (drag.wide) drag.path.push(at(event)), (state.hovered = -1);
    } else state.hovered = nearestTo(state, panel, ...at(event));
    redraw(state);
  };
  canvas.onpointerup = (event) => {
    const { drag } = state;
    state.drag = null;
    if (!drag) return;
    if (!drag.wide) return pin(state, nearestTo(state, panel, ...at(event)));
    const surface = panel.surface;
    select(state, rows(state).filter((i) => within(drag.path, ...pointAt(surface, state.part, panel.shown, i))));
  };
  canvas.onpointercancel = () => ((state.drag = null), redraw(state));
  canvas.onpointerleave = () => state.drag || ((state.hovered = -1), redraw(state));
  canvas.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = state.header ? rows(state) : [];
    if (step && all.length) {
      const now = all.indexOf(state.pinned >= 0 ? state.pinned : state.hovered);
      const next = all[now < 0 ? 0 : (now + step + all.length) % all.length];
      if (state.pinned >= 0) pin(state, next);
      else (state.hovered = next), say(state, next), redraw(state);
    } else if ((event.key === "Enter" || event.key === " ") && state.hovered >= 0) pin(state, state.hovered);
    else return;
    event.preventDefault();
  };
  return panel;
}

/** The rows of the chosen group. */
const rows = ({ header, arrays, data }) => {
  const start = header.groups.indexOf(data.group) * header.n;
  return Array.from({ length: header.n }, (_, i) => i).filter((i) => arrays.group[start + i]);
};

/** Who is drawn in full: the chosen group, or what of it is selected. */
function focus(state) {
  if (!state.header) return;
  const among = rows(state);
  const chosen = among.filter((i) => state.selected.has(i));
  state.focus = new Uint8Array(state.header.n);
  for (const i of state.selected.size ? chosen : among) state.focus[i] = 1;
  look(state);
}

/** Zoomed in, the panels show the part of the map around what is drawn in full, or the forget set if that is all. */
function look(state) {
  const { zoomed, header, panels, focus: shown, forgotten } = state;
  if (!header) return;
  const all = shown.every((v) => v);
  const chosen = [...shown.keys()].filter((i) => (all ? forgotten[i] : shown[i]));
  state.part = zoomed && chosen.length ? partAround(panels.map((panel) => panel.xy), chosen) : WHOLE;
}

function select(state, chosen) {
  state.selected = new Set(chosen);
  // The time makes each message differ from the last.
  state.component.setStateValue("selected", { rows: chosen, at: Date.now() });
  focus(state);
  redraw(state);
}

function pin(state, i) {
  if (state.pinned < 0 && i < 0) return;
  state.pinned = i;
  if (i >= 0) say(state, i);
  redraw(state);
}

function nearestTo(state, panel, x, y) {
  let [nearest, best] = [-1, CATCH];
  for (let i = 0; i < (state.header?.n ?? 0); i++) {
    if (!state.focus[i]) continue;
    const [px, py] = pointAt(panel.surface, state.part, panel.shown, i);
    const gap = Math.hypot(px - x, py - y);
    if (gap < best) [nearest, best] = [i, gap];
  }
  return nearest;
}

/** From the original's map to the unlearned network's; without motion for those who want none: first the one, then the other. */
function play(state) {
  state.way = 0;
  state.playing = { start: performance.now(), calm: REDUCED.matches };
  redraw(state);
}

function advance(state) {
  if (!state.playing) return;
  const t = Math.min((performance.now() - state.playing.start) / WAY, 1);
  state.way = state.playing.calm ? Math.floor(t) : t * t * (3 - 2 * t);
  if (t < 1) redraw(state);
  else state.playing = null;
}

function redraw(state) {
  state.frame ||= requestAnimationFrame(() => draw(state));
}

function draw(state) {
  state.frame = 0;
  const { $, root, data, header, panels } = state;
  if (!data || !root.clientWidth) return;
  Object.assign($(".note"), { textContent: state.note, hidden: !state.note });
  if (!header) return;
  if (state.stale) {
    state.stale = false;
    const theme = (state.theme = themeOf(root, data.palette, header.classes.length));
    for (const role of ["original", "retrained"]) root.style.setProperty(`--${role}`, css(theme[role]));
    root.style.setProperty("--accent", css(theme.accent));
    for (const panel of panels) panel.surface = surfaceOf(panel.canvas);
  }
  advance(state);
  const { way, theme, drag } = state;
  const marked = state.pinned >= 0 ? state.pinned : state.hovered;
  const [first, last] = [panels[0], panels.at(-1)];
  last.shown = way === 1 ? last.xy : last.xy.map((v, i) => first.xy[i] + way * (v - first.xy[i]));
  for (const panel of panels) {
    const klass = panel === last && way < 0.5 ? first.klass : panel.klass;
    drawCloud(panel.surface, panel.shown, klass, state, theme);
    if (drag?.wide && drag.panel === panel) drawLasso(panel.surface, drag.path, theme);
    if (marked >= 0) drawRing(panel.surface, state.part, panel.shown, marked, header.classes[klass[marked]], theme);
    panel.canvas.dataset.marked = marked;
  }
  tell(state, last);
  showCard(state);
}

/** The words beside the canvases, which are also what tests read. */
function tell(state, last) {
  const { $, way, header, panels, focus: shown } = state;
  const among = shown.reduce((sum, v) => sum + v, 0);
  for (const panel of panels) {
    let own = 0;
    for (let i = 0; i < header.n; i++) own += shown[i] && panel.klass[i] === state.arrays.truth[i];
    const words = `${own} of ${among} right`;
    panel.aside.textContent = panel === last && way < 1 ? (way ? "on the way" : "as the original") : words;
    panel.canvas.dataset.shown = among;
    panel.canvas.setAttribute("aria-label", `${TITLES[panel.role]}: map of ${among} images, ${own} of them predicted as what they are. Arrow keys go from image to image, Enter opens one.`);
  }
  $("[data-testid=way]").value = way;
  $("[data-testid=way]").setAttribute("aria-valuetext", `${Math.round(100 * way)} % of the way`);
  $(".zoom").textContent = state.zoomed ? "Whole map" : "Zoom in";
  const clear = $(".clear");
  clear.hidden = !state.selected.size;
  clear.textContent = `Clear selection (${state.selected.size})`;
}

const called = ({ header, panels }, i) => panels.map(({ role, klass }) => `${TITLES[role]}: ${header.classes[klass[i]]}`).join(". ");

function say(state, i) {
  const { header, arrays } = state;
  state.$(".said").textContent = `Image ${i}, a ${header.classes[arrays.truth[i]]}. ${called(state, i)}.`;
}

/** The opened image: what it is, and what each network says of it, the voice of the retrained being their mean. */
function showCard(state) {
  const { $, header, arrays, data, pinned: i } = state;
  const card = $(".card");
  card.hidden = i < 0;
  const content = [i, state.url].join();
  if (i < 0 || card.dataset.content === content) return;
  card.dataset.content = content;
  const { classes, forget: gone, n } = header;
  const titles = { original: "Before", retrained: `Retrained, mean of ${data.references}`, unlearned: "After" };
  const bars = header.voices.map((voice, v) => {
    const start = (v * n + i) * classes.length;
    const top = topClasses(arrays.probability.subarray(start, start + classes.length));
    return `<div class="bars"><b>${titles[voice]}</b>${top.map(([c, p]) => `<span>${plain(classes[c])}</span><u style="--p:${p}"></u><em>${percent(p, 0)}</em>`).join("")}</div>`;
  });
  const truth = arrays.truth[i];
  card.innerHTML = `<img alt="" width="84" height="84" src="${new URL(`${data.image}${i}.png`, document.baseURI)}">
    <div class="who"><b>${plain(classes[truth])}</b>${gone.includes(truth) ? " ✖" : ""}<br>${arrays.member[i] ? "training image" : "test image"}</div>${bars.join("")}`;
}
