/* What a network says of one image, as bars. */

import { topClasses } from "./maths.js";
import { percent, plain } from "./words.js";

/** The most probable classes of an image. @param {string[]} classes @param {Uint8Array} bytes its probabilities */
export const barsOf = (classes, bytes) => topClasses(bytes).map(([c, p]) =>
  `<span>${plain(classes[c])}</span><u style="--p:${p}"></u><em>${percent(p, 0)}</em>`).join("");
