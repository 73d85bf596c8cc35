/* The live view in a file of its own, without a server: what it would fetch came along, and what it tells is answered
 * here. Only the choice that was evaluated is exact; wherever else the point is dragged, the view says ≈.
 */

import { carry } from "../wire.js";
import { view } from "./main.js";

/** @import { Point } from "../types" */
/** @import { LiveData } from "./types" */

/** @param {string} id */
const held = (id) => JSON.parse(/** @type {HTMLElement} */ (document.getElementById(id)).textContent ?? "");

/** @type {LiveData} */
const told = held("told");
/** @type {[string, string][]} */
const [files, pictures] = [Object.entries(held("files")), Object.entries(held("pictures"))];
for (const [path, base64] of files) carry(path, `data:application/octet-stream;base64,${base64}`);
for (const [number, base64] of pictures) carry(`${told.image}${number}.png`, `data:image/png;base64,${base64}`);

const evaluated = { alpha: told.alpha?.value ?? 0, lambda: told.lambda?.value ?? 0 };
let now = evaluated;
const back = /** @type {HTMLButtonElement} */ (document.getElementById("back"));

/** @param {Point} point where the view is told to stand */
function show(point) {
  now = point;
  back.disabled = point.alpha === evaluated.alpha && point.lambda === evaluated.lambda;
  document.body.classList.toggle("away", !back.disabled); // what is said above is said of the evaluated point
  const { alpha, lambda } = told;
  view({
    parentElement: document,
    data: {
      ...told, former: "", alone: true, alpha: alpha && { ...alpha, value: point.alpha },
      lambda: lambda && { ...lambda, value: point.lambda },
    },
    setStateValue: (name, value) => name === "point" && show(/** @type {Point} */ (value)),
    setTriggerValue: () => undefined,
  });
}

back.onclick = () => show(evaluated);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(now));
show(evaluated);
