/* How every view comes onto the page, is told of changes, and leaves. */

/**
 * @template D
 * @typedef {import("./types").View<D>} View
 */

/**
 * The default export of a component. Streamlit calls it again with the same parent for each change of data or theme,
 * and its cleanup once: so there is one view for each parent, made by `make` and told by `take`.
 * @template D
 * @template {View<D>} V
 * @param {string} selector of the element that the view fills
 * @param {(bare: View<D>) => V} make
 * @param {(view: V) => void} take
 * @param {(view: V) => void} draw everything, once a frame at most
 */
export function mounted(selector, make, take, draw) {
  /** @type {WeakMap<ParentNode, V>} */
  const views = new WeakMap();
  return (/** @type {import("./types").Component<D>} */ component) => {
    const { parentElement, data } = component;
    const root = /** @type {HTMLElement | null} */ (parentElement.querySelector(selector));
    if (!root || !data) return;
    let view = views.get(parentElement);
    if (view?.root !== root) {
      view?.life.abort();
      view = begin(root, component, make, draw);
      views.set(parentElement, view);
    }
    Object.assign(view, { component, data });
    take(view);
    const shown = view;
    return () => {
      shown.life.abort();
      if (views.get(parentElement) === shown) views.delete(parentElement);
    };
  };
}

/**
 * @template D
 * @template {View<D>} V
 * @param {HTMLElement} root @param {import("./types").Component<D>} component
 * @param {(bare: View<D>) => V} make @param {(view: V) => void} draw
 */
function begin(root, component, make, draw) {
  const life = new AbortController();
  const $ = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
  const paint = () => {
    const started = performance.now();
    view.frame = 0;
    if (!root.clientWidth) return;
    draw(view);
    if (!window.__lacunaMeasure) return;
    window.__lacunaFrames = [...(window.__lacunaFrames ?? []), performance.now() - started].slice(-600);
  };
  const view = make({ root, $, component, data: component.data, life, loads: {}, frame: 0, stale: true, paint });
  const observer = new ResizeObserver(() => {
    view.stale = true;
    paint(); // at once: a resized canvas is blank until drawn
  });
  observer.observe(root);
  life.signal.addEventListener("abort", () => {
    observer.disconnect();
    cancelAnimationFrame(view.frame);
    for (const { abort } of Object.values(view.loads)) abort.abort();
  });
  return view;
}

/** @param {Pick<View<any>, "frame" | "paint">} view */
export function redraw(view) {
  view.frame ||= requestAnimationFrame(view.paint);
}

/**
 * Tell a page that asks for it that the view is drawn.
 * @param {Pick<View<{ ask?: boolean }>, "data" | "component">} view
 */
export function drawn({ data, component }) {
  if (!data.ask) return;
  data.ask = false;
  component.setTriggerValue("drawn", true);
}

/**
 * Calls `close` for Escape and for a press anywhere but on what is kept.
 * @param {View<any>} view @param {() => Element[]} kept @param {() => void} close
 */
export function whenLeft({ life: { signal } }, kept, close) {
  document.addEventListener("keydown", (event) => event.key === "Escape" && close(), { signal });
  document.addEventListener("pointerdown", (event) => {
    const elements = kept();
    if (!event.composedPath().some((element) => elements.includes(/** @type {Element} */ (element)))) close();
  }, { signal });
}
