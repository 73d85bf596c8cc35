/* What comes from the server: addresses, and arrays as unlearn_core/packing.py writes them. */

const TYPES = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, i4: Int32Array };

/** Files that came along with the page, as data addresses by their paths. @type {Map<string, string>} */
const carried = new Map();

/** @param {string} path @param {string} address that holds the file itself */
export const carry = (path, address) => void carried.set(path, address);

/** An address of the app's own, which may run below a path, or of a file that came along. @param {string} path */
export const addressOf = (path) => new URL(carried.get(path) ?? path, document.baseURI);

/**
 * A blob of unlearn_core/packing.py -> { header, arrays }. The arrays are views, not copies.
 * @param {ArrayBuffer} buffer
 * @returns {{ header: any, arrays: any }} as the one who asked for it declares it
 */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  /** @type {Record<string, import("./types").Numbers>} */
  const arrays = {};
  /** @type {[string, { dtype: keyof typeof TYPES, shape: number[], offset: number }][]} */
  const entries = Object.entries(header.arrays);
  for (const [name, { dtype, shape, offset }] of entries) {
    arrays[name] = new TYPES[dtype](buffer, 4 + length + offset, shape.reduce((a, b) => a * b, 1));
  }
  return { header, arrays };
}

/** @param {URL} url @param {AbortSignal} signal */
export async function blobAt(url, signal) {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return unpack(await response.arrayBuffer());
}

/**
 * Begins to load `url` under a name: the signal to do it with, or null if it is under way or done. A newer address
 * aborts the older, and so does the end of the view.
 * @param {Pick<import("./types").View<any>, "loads">} view @param {string} name @param {string | null} url
 */
export function begun({ loads }, name, url) {
  if (loads[name]?.url === url) return null;
  loads[name]?.abort.abort();
  const load = (loads[name] = { url, abort: new AbortController() });
  return load.abort.signal;
}
