/* The canvas of the attacker's view: a dot for each image at the left, the errors on the same axis at the right. */

import { disc, line, ring, write } from "../canvas.js";
import { css } from "../theme.js";
import { percent } from "../words.js";
import { errorsAt, extent } from "./errors.js";

/** @import { Pair, Pen, RGB, Surface } from "../types" */
/** @import { Attack, Both, Layout, Wing } from "./types" */

export const BINS = 70;

/** About seven round numbers within a range. @param {number} low @param {number} high */
function ticksOf(low, high) {
  const rough = (high - low) / 7;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough) ?? 10 * unit;
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high + 1e-9; t += step) ticks.push(+t.toPrecision(6));
  return ticks;
}

/**
 * Where everything stands: the butterfly at the left, the curves at the right, one vertical axis.
 * @param {Surface} surface @param {Pair} domain @param {Wing[]} wings
 * @returns {Layout}
 */
export function layoutOf({ w, h }, [low, high], wings) {
  const [top, bottom, left, right] = [48, h - 34, 76, w - 28];
  const split = Math.round(left + (w - left) * 0.58);
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

/** @param {Layout} layout @param {Wing[]} wings @param {number} side @param {number} i */
export function dotAt(layout, wings, side, i) {
  const { bin, place } = wings[side];
  const height = (layout.bottom - layout.top) / BINS;
  return [layout.middle + (side ? 1 : -1) * place[i] * layout.step, layout.bottom - (bin[i] + 0.5) * height];
}

/** All that does not depend on the threshold: axis, curves, band. @param {Attack} state */
export function drawBackdrop({ surface: { pen, w, h }, layout: l, data, theme, groups, seeds, original }) {
  pen.clearRect(0, 0, w, h);
  for (const tick of ticksOf(l.low, l.high)) {
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
  /** @param {Both<Float64Array>} of @param {"fpr" | "fnr" | "balanced"} what
   *  @param {RGB} colour @param {number} width @param {number[]} dash */
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

/** ● of a training image, ◆ of one never seen. @param {Pen} pen @param {number} side @param {number} x
 *  @param {number} y @param {number} r */
function mark(pen, side, x, y, r) {
  if (side) {
    pen.moveTo(x + r * 1.25, y);
    pen.lineTo(x, y + r * 1.25);
    pen.lineTo(x - r * 1.25, y);
    pen.lineTo(x, y - r * 1.25);
    pen.closePath();
  } else {
    pen.moveTo(x + r, y);
    pen.arc(x, y, r, 0, 2 * Math.PI);
  }
}

/** @param {Attack} state */
export function drawAttack(state) {
  const { surface: { pen, w, h }, layout: l, theme, data, wings, threshold, errors } = state;
  pen.clearRect(0, 0, w, h);
  pen.drawImage(state.backdrop, 0, 0, w, h);
  for (const [side, group] of [data.members, data.others].entries()) {
    for (const called of [false, true]) {
      pen.beginPath();
      group.value.forEach((v, i) => {
        if (v >= threshold !== called) return;
        const [x, y] = dotAt(l, wings, side, i);
        mark(pen, side, x, y, l.radius);
      });
      if (called) {
        pen.fillStyle = css(theme.accent);
        pen.fill();
      }
      Object.assign(pen, { strokeStyle: css(theme.accent), lineWidth: 1.2 });
      pen.stroke();
    }
  }
  const head = (/** @type {string} */ words, /** @type {number} */ rate, /** @type {number} */ x,
    /** @type {CanvasTextAlign} */ align) => {
    write(pen, words, x, 18, css(theme.text), theme.font(15, 600), align);
    write(pen, `${percent(rate, 0)} called members`, x, 37, css(theme.muted), theme.font(15), align);
  };
  head("● Training images", 1 - errors.fnr, l.left + 4, "left");
  head("◆ Never seen", errors.fpr, l.split, "right");
  drawThreshold(state);
  if (!state.picked) return;
  const [x, y] = dotAt(l, wings, state.picked.side, state.picked.i);
  ring(pen, x, y, theme);
}

/** @param {Attack} state */
function drawThreshold({ surface: { pen }, layout: l, theme, threshold, errors }) {
  const y = l.y(threshold);
  line(pen, css(theme.text), 2, l.left, y, l.right, y, [7, 4]);
  for (const rate of [errors.fpr, errors.fnr]) {
    disc(pen, l.x(rate), y, 5, { fill: css(theme.ground), stroke: css(theme.accent), width: 2 });
  }
  disc(pen, l.x(errors.balanced), y, 7, { fill: css(theme.accent), stroke: css(theme.ground), width: 2 });
  pen.fillStyle = css(theme.text); // the handle
  pen.beginPath();
  pen.roundRect(l.split + 3, y - 9, 20, 18, 5);
  pen.fill();
  for (const dy of [-3, 3]) line(pen, css(theme.ground), 1.5, l.split + 8, y + dy, l.split + 18, y + dy);
}
