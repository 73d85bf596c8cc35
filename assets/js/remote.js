/* A remote control in front of a room: PageDown and PageUp (or the arrows) turn from picture to picture, and at the end
 * of a page to the next step of a lesson or the next page; Escape leaves.
 */

import { mounted } from "./mount.js";

/** @import { View } from "./types" */

const TURNS = /** @type {Record<string, number>} */ ({
  PageDown: 1, ArrowRight: 1, ArrowDown: 1, PageUp: -1, ArrowLeft: -1, ArrowUp: -1,
});
const STOPS = "h3, h4, h5, .panel, [data-testid=stPlotlyChart], [data-testid=stImage], .lacuna-game, .lacuna-attack";
const OWN = "input, textarea, select, canvas, [role=slider], [role=combobox], [contenteditable=true]";
const TYPED = "input:not([type=range]), textarea, [contenteditable=true]";

export default mounted(".lacuna-remote", make, () => {}, () => {});

/** @param {View<{}>} view */
function make(view) {
  document.addEventListener("keydown", (event) => press(view, event), { signal: view.life.signal, capture: true });
  return view;
}

/** @param {View<{}>} view @param {KeyboardEvent} event */
function press(view, event) {
  const at = event.composedPath()[0];
  const target = at instanceof Element ? at : document.body;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") view.component.setTriggerValue("leave", true);
  const by = TURNS[event.key];
  // Arrows belong to whatever has the keyboard; a remote control sends PageDown and PageUp.
  if (!by || target.closest(event.key.startsWith("Page") ? TYPED : OWN)) return;
  event.preventDefault();
  event.stopPropagation();
  turn(by);
}

/** @param {number} by */
function turn(by) {
  const main = /** @type {HTMLElement | null} */ (document.querySelector("[data-testid=stMain]"));
  if (!main) return;
  const height = main.getBoundingClientRect().height;
  const tops = stops(main).map((stop) => stop.getBoundingClientRect().top).sort((a, b) => a - b);
  const ahead = by > 0 ? tops.find((top) => top > height / 5) : tops.findLast((top) => top < -height / 5);
  const scale = height / main.clientHeight;
  const before = main.scrollTop;
  // What is taller than the screen is shown in parts.
  const far = ahead === undefined ? by * 0.85 * height : Math.max(Math.min(ahead - 8, 0.85 * height), -0.85 * height);
  const last = tops.at(-1) ?? 0;
  if (by > 0 && ahead === undefined && last < height / 2) return leaf(by);
  const to = before + far / scale;
  main.scrollTo({ top: by < 0 && to < main.clientHeight / 4 ? 0 : to, behavior: "instant" });
  if (Math.abs(main.scrollTop - before) < 2) leaf(by);
}

/** Everything that starts a screen, in the views' own trees too. @param {ParentNode} root @returns {Element[]} */
function stops(root) {
  return [...root.querySelectorAll("*")].flatMap((element) => [
    ...(element.matches(STOPS) && element.getClientRects().length ? [element] : []),
    ...(element.shadowRoot ? stops(element.shadowRoot) : []),
  ]);
}

/** To the next step of a lesson, or the next page. @param {number} by */
function leaf(by) {
  const step = document.querySelector(`.st-key-${by > 0 ? "Next" : "Back"} button:not(:disabled)`);
  const links = [...document.querySelectorAll("[data-testid=stTopNav] a")];
  const here = links.findIndex((link) => link.getAttribute("aria-current") === "page");
  const to = /** @type {HTMLElement | null | undefined} */ (step ?? links[here + by]);
  to?.click();
}
