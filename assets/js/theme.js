/* The colours and fonts of the page's theme, as a canvas needs them. */

import { mean } from "./maths.js";

/** @import { Palette, RGB, Theme } from "./types" */

/** @param {RGB} a @param {RGB} b @param {number} t */
export const mix = (a, b, t) => a.map((v, i) => Math.round(v + t * (b[i] - v)));

/** @param {RGB} rgb @param {number} [opacity] */
export const css = (rgb, opacity = 1) => `rgb(${rgb.join(" ")} / ${opacity})`;

/**
 * Any CSS colour -> [r, g, b], read back from a pixel so that every notation the theme may use is understood.
 * @param {string} colour @param {string} fallback
 * @returns {RGB}
 */
function rgbOf(colour, fallback) {
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(1, 1).getContext("2d"));
  pen.fillStyle = fallback;
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

/**
 * @param {Element} element @param {Palette} palette @param {number} classes how many
 * @returns {Theme}
 */
export function themeOf(element, palette, classes) {
  const style = getComputedStyle(element);
  const text = rgbOf(style.getPropertyValue("--st-text-color").trim(), "#31333f");
  const ground = rgbOf(style.getPropertyValue("--st-background-color").trim(), "#fff");
  const dark = mean(ground) < 128;
  const family = style.fontFamily; // read once: the style object is live
  const accent = rgbOf(palette.unlearned, "#d55e00");
  return {
    text, ground, dark, accent,
    muted: mix(ground, text, 0.72),
    track: mix(ground, text, 0.09),
    grid: mix(ground, text, 0.16),
    original: rgbOf(palette.original, "#8a8f98"),
    retrained: dark ? text : rgbOf(palette.retrained, "#111"),
    classes: Array.from({ length: classes }, (_, c) => palette.classes[c % palette.classes.length]),
    near: dark ? [150, 170, 190] : [246, 249, 252], // lighter is nearer to retraining, in both themes
    far: dark ? [27, 36, 47] : [104, 128, 152],
    untouched: dark ? [158, 164, 174] : [112, 118, 128],
    weak: mix(accent, dark ? [150, 110, 60] : [255, 214, 130], 0.8),
    strong: mix(accent, dark ? [255, 255, 255] : [120, 20, 0], dark ? 0.12 : 0.25),
    font: (size, weight = 400) => `${weight} ${size}px ${family}`,
  };
}

/**
 * The role colours as CSS variables of an element.
 * @param {HTMLElement} root @param {Theme} theme @param {("accent" | "original" | "retrained" | "grid")[]} roles
 */
export function colour(root, theme, roles) {
  for (const role of roles) root.style.setProperty(`--${role}`, css(theme[role]));
}
