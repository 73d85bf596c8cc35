/* The live view in a notebook: the model of the widget takes the server's place. See unlearn_core/picture/widget.py. */

import { carry } from "../wire.js";
import { view } from "./main.js";

/** @import { LiveData } from "./types" */

/**
 * What anywidget gives: the traits of the widget, and when they change.
 * @typedef {object} Model
 * @property {(name: string) => any} get
 * @property {(name: string, value: unknown) => void} set
 * @property {() => void} save_changes
 * @property {(event: string, call: () => void) => void} on
 * @property {(event: string, call: () => void) => void} off
 */

/** @param {{ model: Model, el: HTMLElement }} given @returns {() => void} what ends it */
function render({ model, el }) {
  el.classList.add("lacuna-notebook");
  el.innerHTML = '<p role="status"></p><div class="lacuna-live"></div>';
  const said = /** @type {HTMLElement} */ (el.querySelector("p"));
  /** @type {Map<string, string>} */
  const addresses = new Map();
  /** @type {(() => void) | void} */
  let end;

  function show() {
    /** @type {LiveData} */
    const told = model.get("told");
    /** @type {[string, DataView][]} */
    const files = Object.entries(model.get("files"));
    for (const [path, bytes] of files) {
      if (addresses.has(path)) continue;
      addresses.set(path, URL.createObjectURL(new Blob([/** @type {BlobPart} */ (bytes)])));
      carry(path, addresses.get(path) ?? "");
    }
    /** @type {[string, string][]} */
    const pictures = Object.entries(model.get("pictures"));
    for (const [number, base64] of pictures) carry(`${told.image}${number}.png`, `data:image/png;base64,${base64}`);
    said.textContent = model.get("verdict");
    said.classList.remove("former");
    end = view({
      parentElement: el,
      data: { ...told, former: "", alone: true },
      setStateValue: (name, value) => {
        if (name !== "point") return;
        said.classList.add("former"); // what is said is said of another point, until the kernel has answered
        model.set("point", value);
        model.save_changes();
      },
      setTriggerValue: () => undefined,
    });
  }

  model.on("change:told", show);
  show();
  return () => {
    model.off("change:told", show);
    if (end) end();
    for (const address of addresses.values()) URL.revokeObjectURL(address);
  };
}

export default { render };
