/* The live lane's pure maths: blobs, importance ratios, the landscape, numbers in words. Tests: tests/test_live_maths.py. */

const TYPES = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, i4: Int32Array };

/** A blob of unlearn_core/packing.py -> { header, arrays }. The arrays are views, not copies. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const [name, { dtype, shape, offset }] of Object.entries(header.arrays)) {
    arrays[name] = new TYPES[dtype](buffer, 4 + length + offset, shape.reduce((a, b) => a * b, 1));
  }
  return { header, arrays };
}

/** Per layer: how many weights, and how much of Σ 1/r, lie above each bin edge. Makes any (α, λ) a look-up. */
export function suffixSums({ header, arrays }) {
  const layers = header.layers.length;
  const bins = arrays.counts.length / layers;
  const [low, high] = header.log_ratio;
  const count = new Float64Array(layers * (bins + 1));
  const inverse = new Float64Array(layers * (bins + 1));
  for (let l = 0; l < layers; l++) {
    for (let b = bins - 1; b >= 0; b--) {
      const edge = l * (bins + 1) + b;
      count[edge] = count[edge + 1] + arrays.counts[l * bins + b];
      inverse[edge] = inverse[edge + 1] + arrays.inverse[l * bins + b];
    }
  }
  const size = Float64Array.from(header.layers, (layer) => layer.size);
  return { layers, bins, low, step: (high - low) / bins, size, infinite: arrays.infinite, count, inverse };
}

/** Selected share and mean multiplier of every layer under SSD. A cut bin is split by the fraction of its log-width. */
export function layerAnswers(sums, alpha, lambda, out = answersFor(sums.layers)) {
  const place = (r) => Math.min(Math.max((Math.log10(r) - sums.low) / sums.step, 0), sums.bins);
  const above = (sum, start, p) => {
    const b = Math.min(Math.floor(p), sums.bins - 1);
    return sum[start + b] + (p - b) * (sum[start + b + 1] - sum[start + b]);
  };
  const cut = place(alpha);
  const damped = place(Math.max(alpha, lambda)); // between α and λ a weight is selected but multiplied by 1
  let selected = 0;
  let all = 0;
  for (let l = 0; l < sums.layers; l++) {
    const start = l * (sums.bins + 1);
    const chosen = sums.infinite[l] + above(sums.count, start, cut);
    const lost = sums.infinite[l] + above(sums.count, start, damped) - lambda * above(sums.inverse, start, damped);
    out.share[l] = chosen / sums.size[l];
    out.multiplier[l] = 1 - lost / sums.size[l];
    selected += chosen;
    all += sums.size[l];
  }
  out.total = selected / all;
  return out;
}

export function answersFor(layers) {
  return { share: new Float64Array(layers), multiplier: new Float64Array(layers), total: 0 };
}

/** The evaluated points of the α × λ grid: cells[ia * lambdas.length + il], undefined until evaluated. */
export function emptyLandscape(alphas, lambdas) {
  return { alphas, lambdas, cells: new Array(alphas.length * lambdas.length), held: 0, total: 0, complete: false };
}

/** Adds a "points" blob, which may repeat points already held. */
export function addPoints(landscape, { header, arrays }) {
  const points = arrays.index.length;
  const slice = (array, p) => array.subarray((p * array.length) / points, ((p + 1) * array.length) / points);
  for (let p = 0; p < points; p++) {
    const { gauges, xy, klass } = arrays;
    landscape.cells[arrays.index[p]] = { gauges: slice(gauges, p), xy: slice(xy, p), klass: slice(klass, p) };
  }
  landscape.held = header.from + points;
  landscape.total = header.total;
  landscape.complete = header.complete;
  return landscape;
}

/** Where value stands between two of the grid's stops `stride` apart, on a log scale: [low, high, fraction]. */
function between(stops, value, stride) {
  let i = 0;
  while (i + 2 < stops.length && value >= stops[i + 1] * (1 - 1e-9)) i++; // 1e-9: JSON and float32 round differently
  const low = Math.floor(i / stride) * stride;
  const high = Math.min(low + stride, stops.length - 1);
  if (high <= low) return [low, low, 0];
  const fraction = Math.log(value / stops[low]) / Math.log(stops[high] / stops[low]);
  const clean = Math.abs(fraction - Math.round(fraction)) < 1e-7 ? Math.round(fraction) : fraction;
  return [low, high, Math.min(Math.max(clean, 0), 1)];
}

/** The evaluated points that stand for (α, λ), bilinear in (log α, log λ): { corners, weights }, or null if none is.
 *  The grid fills coarse to fine: the smallest complete cell wins, else the nearest point. Corners that would weigh
 *  nothing need not be evaluated, so a point of the grid is reproduced exactly as soon as it is there. */
export function locate(landscape, alpha, lambda) {
  const { alphas, lambdas, cells } = landscape;
  for (const stride of [1, 2, 4]) {
    const [a0, a1, u] = between(alphas, alpha, stride);
    const [l0, l1, v] = between(lambdas, lambda, stride);
    const corners = [];
    const weights = [];
    for (const [a, l, weight] of [[a0, l0, (1 - u) * (1 - v)], [a1, l0, u * (1 - v)], [a0, l1, (1 - u) * v], [a1, l1, u * v]]) {
      if (weight > 0) corners.push(a * lambdas.length + l), weights.push(weight);
    }
    if (corners.every((corner) => cells[corner])) return { corners, weights };
  }
  let nearest = -1;
  let best = Infinity;
  cells.forEach((_, index) => {
    const a = alphas[Math.floor(index / lambdas.length)];
    const distance = Math.hypot(Math.log(a / alpha), Math.log(lambdas[index % lambdas.length] / lambda));
    if (distance < best) [nearest, best] = [index, distance];
  });
  return nearest < 0 ? null : { corners: [nearest], weights: [1] };
}

/** Weighted mean of one field of the corners ("gauges", or "xy" with scale 1/255 for map coordinates in 0..1). */
export function blend(landscape, { corners, weights }, field, out, scale = 1) {
  const parts = corners.map((corner) => landscape.cells[corner][field]);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let c = 0; c < parts.length; c++) sum += weights[c] * parts[c][i];
    out[i] = sum * scale;
  }
  return out;
}

/** The corner that weighs most: classes cannot be averaged, so they are taken from there. */
export function nearestCorner({ corners, weights }) {
  return corners[weights.indexOf(Math.max(...weights))];
}

/** How far from retraining, in 0..1: the worse of forget and retain accuracy. Null without a retrained reference. */
export function distance(gauges, values) {
  let worst = null;
  gauges.forEach((gauge, g) => {
    if (!["forget", "retain"].includes(gauge.id) || !gauge.retrained?.length) return;
    worst = Math.max(worst ?? 0, Math.abs(values[g] - mean(gauge.retrained)));
  });
  return worst;
}

export const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** Index of the tick nearest on a log scale. */
export function nearestTick(ticks, value) {
  const gap = (tick) => Math.abs(Math.log(tick / value));
  return ticks.reduce((best, tick, i) => (gap(tick) < gap(ticks[best]) ? i : best), 0);
}

/** The k classes with the largest of the bytes that code an image's probabilities: [class, probability]. */
export function topClasses(bytes, k = 3) {
  return Array.from(bytes, (byte, c) => [c, byte / 255]).sort((a, b) => b[1] - a[1]).slice(0, k);
}

/** Part of a scale that is worth drawing: all but a thousandth of the weights at either end, and all of `keep`. */
export function ratioDomain(sums, keep) {
  const at = (edge) => {
    let sum = 0;
    for (let l = 0; l < sums.layers; l++) sum += sums.count[l * (sums.bins + 1) + edge];
    return sum;
  };
  const all = at(0);
  let [first, last] = [0, sums.bins];
  while (first < sums.bins - 1 && at(first + 1) > 0.999 * all) first++;
  while (last > first + 1 && at(last - 1) < 0.001 * all) last--;
  const [low, high] = [sums.low + first * sums.step, sums.low + last * sums.step];
  return [Math.min(low, Math.log10(keep[0])), Math.max(high, Math.log10(keep[1]))];
}

const CHANGE = [-3, 1]; // log10 of the smallest and largest relative weight change that is drawn

/** Where a relative weight change stands on its logarithmic axis, in 0..1: 0 up to its lower end, 1 from its upper. */
export function changePlace(change) {
  const place = (Math.log10(change) - CHANGE[0]) / (CHANGE[1] - CHANGE[0]);
  return Number.isNaN(place) ? 0 : Math.min(Math.max(place, 0), 1);
}

/** A relative weight change in words: per cent with two digits, "0" if the layer did not move. */
export function changeText(change) {
  if (!Number.isFinite(change)) return change === Infinity ? "∞" : "–";
  if (change < 10 ** CHANGE[0]) return change > 0 ? `<${percent(10 ** CHANGE[0])}` : "0";
  return percent(change, change < 0.00995 ? 2 : change < 0.0995 ? 1 : 0);
}

/** The k layers that moved most, most first; those that did not move, or not to a number, are left out. */
export function mostChanged(change, k = 3) {
  return [...change.keys()].filter((l) => change[l] > 0).sort((a, b) => change[b] - change[a]).slice(0, k);
}

/** Whether the method has neither α nor λ, so that there is nothing to drag. */
export const isStill = (data) => data.alpha === null && data.lambda === null;

const same = (p, q) => !!p && !!q && ["alpha", "lambda"].every((k) => Math.abs(p[k] - q[k]) <= 1e-6 * Math.abs(q[k]));
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u202f%`;
const short = (v) => (v >= 1000 ? v.toFixed(0) : v.toPrecision(v >= 10 ? 3 : 2));
const DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const power = (k) => (Math.abs(k) < 3 ? `${+(10 ** k).toFixed(2)}` : `10${k < 0 ? "⁻" : ""}${DIGITS[Math.abs(k)] ?? Math.abs(k)}`);

