/* Numbers in words, and words made safe for HTML. */

/** @param {number} share @param {number} [digits] */
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u202f%`;

/** @param {number} v */
export const short = (v) => (v >= 1000 ? v.toFixed(0) : v.toPrecision(v >= 10 ? 3 : 2));

const DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** 10 to the k as an axis says it. @param {number} k */
export function power(k) {
  if (Math.abs(k) < 3) return `${+(10 ** k).toFixed(2)}`;
  return `10${k < 0 ? "⁻" : ""}${DIGITS[Math.abs(k)] ?? Math.abs(k)}`;
}

/** @param {unknown} text */
export const plain = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
